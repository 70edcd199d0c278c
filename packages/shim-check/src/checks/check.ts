import { Code } from "ttrpc-ts";
import type { Lab } from "../lab/lab.ts";

/** What checks are about, in the order in which they run. */
export const AREAS = [
  "start",
  "delete",
  "info",
  "daemon",
  "wire",
  "task",
  "exec",
  "events",
  "stdio",
  "restart",
  "options",
  "faults",
] as const;
export type Area = (typeof AREAS)[number];

/** One rule of the contract, and how it is seen whether a shim keeps it. */
export interface Check {
  /** `AREA.NAME`: stable, for --only and for lists of known deviations. */
  readonly id: `${Area}.${string}`;
  /** The rule, as a sentence. */
  readonly title: string;
  /** Sections of the shim-v2 contract. */
  readonly sections: string;
  /** Numbers of the contract's checklist, its section 9. */
  readonly numbers: readonly number[];
  /** Throws a Finding if the rule is broken, NotOffered if the shim lacks what it is about. */
  readonly run: (lab: Lab) => Promise<void>;
  /** Takes longer than a few seconds by its nature. */
  readonly isSlow?: boolean;
}

/** Only with --faults. */
export function isFault({ id }: Check): boolean {
  return id.startsWith("faults.");
}

/** What a shim may answer to a call for which a task is in the wrong state. */
export const WRONG_STATE = [Code.FailedPrecondition, Code.Unknown] as const;
