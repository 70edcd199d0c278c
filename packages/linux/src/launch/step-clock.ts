import { groupOf, type StepGroup } from "../explain/groups.ts";
import { SYNC_CODE } from "./opcodes.ts";
import type { Data, ProgramBuilder } from "./program.ts";

/** SYNC takes no more data than this. */
const SYNC_LIMIT_BYTES = 4096;
const TIMESPEC_BYTES = 16;
/** One reading: CLOCK_MONOTONIC, then CLOCK_PROCESS_CPUTIME_ID. */
const MARK_BYTES = 2 * TIMESPEC_BYTES;
/** The last one is of the telling itself. */
const MARK_LIMIT = SYNC_LIMIT_BYTES / MARK_BYTES - 1;
const CLOCK_MONOTONIC = 1;
const CLOCK_PROCESS_CPUTIME_ID = 2;

/** What a timed program's readings are of, in their order; the last one ends the last group. */
export interface StepTiming {
  readonly marks: readonly { readonly group: StepGroup; readonly clones: boolean }[];
}

/** How long one group of steps took. */
export interface StepTime {
  readonly group: StepGroup;
  /** CLOCK_MONOTONIC, as the process sees it: shifted in a time namespace. */
  readonly startNs: bigint;
  readonly endNs: bigint;
  /** What of that the process was running, nearly all of it in the kernel. Undefined where another process began: its own count starts. */
  readonly cpuNs: bigint | undefined;
}

/** The builder who takes the steps is in the way of nobody: readings are steps, and nothing but steps. */
export class StepClock {
  readonly #builder: ProgramBuilder;
  readonly #marks: { group: StepGroup; clones: boolean }[] = [];
  #place: Data | undefined;
  #isReading = false;
  #isTold = false;

  constructor(builder: ProgramBuilder) {
    this.#builder = builder;
  }

  get timing(): StepTiming {
    return { marks: this.#marks };
  }

  /** A step comes: read the clock if it begins another group. */
  before(field: string, call: string): void {
    if (this.#isReading || this.#isTold) return;
    const group = groupOf(field, call);
    const last = this.#marks.at(-1);
    if (last?.group !== group && this.#marks.length < MARK_LIMIT) {
      this.#read(this.#marks.length);
      this.#marks.push({ group, clones: false });
    }
    const mark = this.#marks.at(-1);
    if (mark !== undefined && call === "CLONE") mark.clones = true;
  }

  tell(): void {
    if (this.#isTold || this.#marks.length === 0) return;
    this.#read(this.#marks.length);
    this.#isTold = true;
    const args = [SYNC_CODE.TIMES, 0, -1, 255, this.#space(), (this.#marks.length + 1) * MARK_BYTES];
    this.#builder.op("SYNC", args, { tolerate: "any", action: "tell the times" });
  }

  #space(): Data {
    this.#place ??= this.#builder.data.space(SYNC_LIMIT_BYTES);
    return this.#place;
  }

  /** No start fails for its clock. */
  #read(index: number): void {
    this.#isReading = true;
    const { offset } = this.#space();
    [CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID].forEach((clock, i) => {
      const place: Data = { kind: "data", offset: offset + index * MARK_BYTES + i * TIMESPEC_BYTES };
      this.#builder.sys("clock_gettime", [clock, place], { tolerate: "any", action: "read the clock" });
    });
    this.#isReading = false;
  }
}

/** What a program told by SYNC TIMES. A group that was skipped has no reading, and is left out; so is all that follows a message cut short. */
export function readStepTimes({ marks }: StepTiming, data: Uint8Array): StepTime[] {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const timeAt = (at: number) =>
    at + TIMESPEC_BYTES > data.length
      ? 0n
      : view.getBigInt64(at, true) * 1_000_000_000n + view.getBigInt64(at + 8, true);
  const read = Array.from({ length: marks.length + 1 }, (_, i) => ({
    mark: marks[i],
    wallNs: timeAt(i * MARK_BYTES),
    cpuNs: timeAt(i * MARK_BYTES + TIMESPEC_BYTES),
  })).filter(({ wallNs }) => wallNs > 0n);
  return read.flatMap(({ mark, wallNs, cpuNs }, i) => {
    const next = read[i + 1];
    if (mark === undefined || next === undefined || next.wallNs < wallNs) return [];
    const cpu = mark.clones || next.cpuNs < cpuNs ? undefined : next.cpuNs - cpuNs;
    return [{ group: mark.group, startNs: wallNs, endNs: next.wallNs, cpuNs: cpu }];
  });
}
