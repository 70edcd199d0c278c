import { Code, StatusError } from "ttrpc-ts";
import { type ExitRecord, exitStatus } from "./exit.ts";

/**
 * A process of a task, init or exec. A state carries exactly its data.
 *
 *     creating ──> created ──> running <──> paused (init only)
 *                     │           │            │
 *        added ───────┼─> running ┴─> stopped <┘
 *          └─> failed └─────────────────^
 */
export type ProcessState =
  | { readonly state: "creating" } // init: Create has not answered yet
  | { readonly state: "added" } // exec: Exec has answered, Start was not called
  | { readonly state: "created"; readonly pid: number } // init: at the start gate
  | { readonly state: "running" | "pausing" | "paused"; readonly pid: number }
  | { readonly state: "failed"; readonly code: Code; readonly why: string } // exec: Start answered with an error
  | { readonly state: "stopped"; readonly pid: number; readonly exit: ExitRecord };

/** containerd.v1.types.Status, by number. */
export const TaskStatus = { unknown: 0, created: 1, running: 2, stopped: 3, paused: 4, pausing: 5 } as const;

/** What State answers. An exec that failed to start stays CREATED, as upstream has it. */
export function statusNumber(process: ProcessState): number {
  switch (process.state) {
    case "creating":
    case "added":
    case "created":
    case "failed":
      return TaskStatus.created;
    case "running":
      return TaskStatus.running;
    case "pausing":
      return TaskStatus.pausing;
    case "paused":
      return TaskStatus.paused;
    case "stopped":
      return TaskStatus.stopped;
  }
}

/** 0 as long as there is none. */
export function pidOf(process: ProcessState): number {
  return "pid" in process ? process.pid : 0;
}

/** created → running. Throws FailedPrecondition in any other state. */
export function started(process: ProcessState, pid: number): ProcessState {
  if (process.state !== "created" && process.state !== "added") throw illegal("start", process);
  return { state: "running", pid };
}

/** running → pausing; the freeze ends in `paused`. */
export function pausing(process: ProcessState): ProcessState {
  if (process.state !== "running") throw illegal("pause", process);
  return { state: "pausing", pid: process.pid };
}

/** pausing → paused, unless the process ended meanwhile. */
export function paused(process: ProcessState): ProcessState {
  return process.state === "pausing" ? { state: "paused", pid: process.pid } : process;
}

/** paused → running. */
export function resumed(process: ProcessState): ProcessState {
  if (process.state !== "paused" && process.state !== "pausing") throw illegal("resume", process);
  return { state: "running", pid: process.pid };
}

/** anything with a pid → stopped. */
export function stopped(process: ProcessState, pid: number, exit: ExitRecord): ProcessState {
  return process.state === "stopped" ? process : { state: "stopped", pid, exit };
}

/** The state, if it is one that a process ends in. */
export function outcomeOf(process: ProcessState): ProcessState | undefined {
  return process.state === "stopped" || process.state === "failed" ? process : undefined;
}

/** exit_status as State, Wait and Delete report it: 0 before the exit. */
export function reportedStatus(process: ProcessState): number {
  return process.state === "stopped" ? exitStatus(process.exit.exit) : 0;
}

/** The verb is not legal in this state: FailedPrecondition, and the message names the state. */
export function illegal(verb: string, process: ProcessState): StatusError {
  return new StatusError(Code.FailedPrecondition, `cannot ${verb} a ${process.state} process`);
}
