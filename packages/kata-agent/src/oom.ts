import { ANY, anyTypeName, containerd } from "@trimaran/proto";

/** Tells whoever waits when a container of this guest had an OOM kill. */
export class OomNews {
  readonly #waiting = new Map<string, Set<() => void>>();

  /** One of the task service's events. */
  take(envelope: Uint8Array): void {
    const { event } = containerd.types.Envelope.decode(envelope);
    if (!event || anyTypeName(event) !== ANY.taskOOM) return;
    const { containerId } = containerd.events.TaskOOM.decode(event.value);
    for (const wake of this.#waiting.get(containerId) ?? []) wake();
  }

  /** Resolves at the next one of that container; rejects with the signal's reason. */
  next(id: string, signal: AbortSignal): Promise<void> {
    const waiting = this.#waiting.get(id) ?? new Set<() => void>();
    this.#waiting.set(id, waiting);
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        waiting.delete(wake);
        if (waiting.size === 0) this.#waiting.delete(id);
        signal.removeEventListener("abort", abandon);
      };
      const wake = (): void => {
        settle();
        resolve();
      };
      const abandon = (): void => {
        settle();
        reject(signal.reason);
      };
      waiting.add(wake);
      signal.addEventListener("abort", abandon, { once: true });
    });
  }
}
