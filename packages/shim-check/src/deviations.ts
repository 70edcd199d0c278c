import type { Identity } from "./shim/identity.ts";

/** A rule that a shim is known not to keep. It is reported by name, and does not make a run fail. */
export interface Deviation {
  /** The name that it gives itself. */
  readonly shim: string;
  /** Beginnings of its versions. Default: all. */
  readonly versions?: readonly string[];
  /** Ids of checks. */
  readonly checks: readonly string[];
  readonly reason: string;
}

const RUNC = "containerd-shim-runc-v2";

/** What upstream's shim does otherwise, and containerd lives with. Each was seen, with Debian's 1.6.20 or 2.1.9. */
export const DEVIATIONS: readonly Deviation[] = [
  {
    shim: RUNC,
    versions: ["1.6."],
    checks: ["delete.never-started", "delete.before-create", "faults.kill-during-create"],
    reason: "delete needs BUNDLE/runtime, which Create writes; containerd logs the failure and goes on",
  },
  {
    shim: RUNC,
    checks: [
      "delete.daemon-dead",
      "delete.before-create",
      "restart.shim-killed",
      "faults.kill-during-create",
      "faults.kill-during-start",
      "faults.kill-during-exec",
      "faults.kill-during-delete",
    ],
    reason: "the socket of a killed shim stays in /run/containerd/s: containerd#5173, #10192, #11292",
  },
  {
    shim: RUNC,
    checks: ["task.answers-meanwhile"],
    reason: "Create holds the lock that State of every task takes",
  },
  {
    shim: RUNC,
    checks: ["stdio.only-stdout", "stdio.only-stderr"],
    reason:
      "a stream without a name is opened as a FIFO with an empty name; containerd's own clients name both or none",
  },
  {
    shim: RUNC,
    checks: ["start.unconnected"],
    reason: "it waits for ever: a daemon whose reply was lost stays",
  },
  {
    shim: RUNC,
    versions: ["1.6."],
    checks: ["wire.reused-id"],
    reason: "ttrpc 1.1 serves an id as often as it comes",
  },
  {
    shim: RUNC,
    versions: ["1.6."],
    checks: ["stdio.file"],
    reason: "now and then: the file that both streams share is closed when the first of them has ended",
  },
  {
    shim: RUNC,
    versions: ["2.0.", "2.1."],
    checks: ["wire.stray-data", "faults.data-flood"],
    reason: "ttrpc before 1.2.8 panics: the process dies, and the pod's containers with it",
  },
  {
    shim: RUNC,
    versions: ["2."],
    checks: ["task.host-pids"],
    reason: "now and then, with runc 1.3 on cgroup v1: the other processes live on",
  },
];

/** Why a shim may break a rule; undefined if it may not. */
export function knownReason({ name, version }: Identity, check: string): string | undefined {
  const isMeant = ({ versions = [""] }: Deviation) => versions.some((beginning) => version.startsWith(beginning));
  return DEVIATIONS.find((each) => each.shim === name && each.checks.includes(check) && isMeant(each))?.reason;
}
