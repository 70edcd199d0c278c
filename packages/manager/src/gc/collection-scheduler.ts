/** When to collect. */
export interface SchedulerOptions {
  /** One collection; never called while one runs. */
  readonly run: () => Promise<void>;
  /** A collection that nobody waited for has failed. The next reason to collect tries again. */
  readonly onError: (error: unknown) => void;
  /** From the start to the first run, in milliseconds; default 100. */
  readonly startDelayMs?: number;
  /** From a deletion to the run that follows, in milliseconds, at most; default 250. */
  readonly deletionDelayMs?: number;
  /** So many changes that delete nothing make a run; default 100. */
  readonly changeLimit?: number;
}

/** Runs collections soon after there is a reason. No timer runs without one. */
export class CollectionScheduler implements AsyncDisposable {
  readonly #options: Required<SchedulerOptions>;
  #timer: NodeJS.Timeout | undefined;
  #changes = 0;
  #running: Promise<void> | undefined;
  #queued: Promise<void> | undefined;
  #closed = false;

  /** The first run comes by itself: a crash may have left something. */
  constructor(options: SchedulerOptions) {
    this.#options = { startDelayMs: 100, deletionDelayMs: 250, changeLimit: 100, ...options };
    this.#schedule(this.#options.startDelayMs);
  }

  /** An image, container, lease, snapshot or blob was deleted. */
  deleted(): void {
    this.#schedule(this.#options.deletionDelayMs);
  }

  /** Something was created or changed. */
  changed(): void {
    if (++this.#changes >= this.#options.changeLimit) this.#schedule(0);
  }

  /** Resolves after a run that began after the call; throws what that run threw. */
  collect(): Promise<void> {
    if (this.#queued !== undefined) return this.#queued;
    if (this.#running === undefined) return this.#begin();
    this.#queued = this.#running
      .catch(() => {}) // its own callers hear of that
      .then(() => {
        this.#queued = undefined;
        return this.#begin();
      });
    return this.#queued;
  }

  /** No run begins by itself any more; those that were asked for are waited for. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#stopTimer();
    await Promise.allSettled([this.#running, this.#queued]);
  }

  #begin(): Promise<void> {
    this.#stopTimer();
    this.#changes = 0;
    this.#running = this.#options.run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** The first reason counts: more of them do not put the run off. */
  #schedule(delayMs: number): void {
    if (this.#closed) return;
    if (delayMs === 0) this.#stopTimer();
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.collect().catch(this.#options.onError);
    }, delayMs);
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
