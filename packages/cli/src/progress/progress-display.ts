import type { Writable } from "node:stream";
import { WriteStream } from "node:tty";
import type { ProgressEvent } from "@trimaran/manager";
import { type BlobState, formatBlobLine, isFinished } from "./blob-line.ts";

interface Tracked {
  state: BlobState;
  readonly beganAtMs: number;
  readonly beganBytes: number;
}

const PLAIN_COLUMNS = 200;
const SHORT_DIGEST = /^(\w+)-(sha\d+:[0-9a-f]{12})[0-9a-f]*$/;

/** Shows a transfer: a line per blob that is drawn over on a terminal, else a line when a blob is finished. */
export class ProgressDisplay implements Disposable {
  readonly #target: Writable;
  readonly #terminal: WriteStream | undefined;
  readonly #nowMs: () => number;
  readonly #blobs = new Map<string, Tracked>();
  #drawnLines = 0;

  /** On stderr: stdout is for the answer. `nowMs` is a clock. */
  constructor(target: Writable, nowMs: () => number = () => performance.now()) {
    this.#target = target;
    this.#terminal = target instanceof WriteStream ? target : undefined;
    this.#nowMs = nowMs;
  }

  /** The listener of a transfer. */
  readonly listener = async (event: ProgressEvent): Promise<void> => {
    const { name = "" } = event;
    const label = SHORT_DIGEST.exec(name);
    if (label === null) return; // of the transfer as a whole: its end says it
    const before = this.#blobs.get(name);
    const tracked = this.#track(event, `${label[1]} ${label[2]}`, before);
    this.#blobs.set(name, tracked);
    if (this.#terminal !== undefined) this.#draw(this.#terminal);
    else if (isFinished(event.event)) this.#target.write(`${formatBlobLine(tracked.state, PLAIN_COLUMNS)}\n`);
  };

  /** What is drawn stays; what comes next begins below. */
  [Symbol.dispose](): void {
    this.#drawnLines = 0;
  }

  #track(
    { event, doneBytes, totalBytes, descriptor }: ProgressEvent,
    label: string,
    before: Tracked | undefined,
  ): Tracked {
    const now = this.#nowMs();
    const done = doneBytes ?? before?.state.doneBytes ?? 0;
    const isFirst = before === undefined || before.state.event === "waiting";
    const [beganAtMs, beganBytes] = isFirst ? [now, done] : [before.beganAtMs, before.beganBytes];
    const elapsedMs = now - beganAtMs;
    const moved = done - beganBytes;
    const rate = elapsedMs > 0 && moved > 0 ? (moved * 1000) / elapsedMs : before?.state.rate;
    const total = totalBytes ?? descriptor?.size ?? 0;
    return { state: { label, event, doneBytes: done, totalBytes: total, rate }, beganAtMs, beganBytes };
  }

  #draw({ columns, rows }: WriteStream): void {
    // What does not fit on the screen can't be drawn over: the last lines are those that still move.
    const states = [...this.#blobs.values()].map(({ state }) => state).slice(-(rows - 1));
    const up = this.#drawnLines > 0 ? `\x1b[${this.#drawnLines}A` : "";
    const lines = states.map((state) => `\x1b[2K${formatBlobLine(state, columns - 1)}\n`);
    this.#target.write(`${up}\r${lines.join("")}`);
    this.#drawnLines = lines.length;
  }
}
