import type { Identity } from "./shim/identity.ts";

/** A rule that a shim is known not to keep. It is reported by name, and does not make a run fail. */
export interface Deviation {
  readonly shim: RegExp;
  readonly version: RegExp;
  /** Ids of checks. */
  readonly checks: readonly string[];
  readonly reason: string;
}

const RUNC = /^containerd-shim-runc-v2$/;
const ANY_VERSION = /^/;

/** What upstream's shim does otherwise, and containerd lives with. Each was seen, with Debian's 1.6.20 or 2.1.9. */
export const DEVIATIONS: readonly Deviation[] = [
  {
    shim: RUNC,
    version: ANY_VERSION,
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
    version: ANY_VERSION,
    checks: ["task.answers-meanwhile"],
    reason: "Create holds the lock that State of every task takes",
  },
  {
    shim: RUNC,
    version: ANY_VERSION,
    checks: ["stdio.only-stdout", "stdio.only-stderr"],
    reason:
      "a stream without a name is opened as a FIFO with an empty name; containerd's own clients name both or none",
  },
  {
    shim: RUNC,
    version: ANY_VERSION,
    checks: ["start.unconnected"],
    reason: "it waits for ever: a daemon whose reply was lost stays",
  },
  {
    shim: RUNC,
    version: /^1\.6/,
    checks: ["delete.never-started", "delete.before-create"],
    reason: "delete needs BUNDLE/runtime, which Create writes; containerd logs the failure and goes on",
  },
  {
    shim: RUNC,
    version: /^1\.6/,
    checks: ["wire.reused-id"],
    reason: "ttrpc 1.1 serves an id as often as it comes",
  },
  {
    shim: RUNC,
    version: /^1\.6/,
    checks: ["stdio.file"],
    reason: "now and then: the file that both streams share is closed when the first of them has ended",
  },
  {
    shim: RUNC,
    version: /^2\.[01]\./,
    checks: ["wire.stray-data", "faults.data-flood"],
    reason: "ttrpc before 1.2.8 panics: the process dies, and the pod's containers with it",
  },
  {
    shim: RUNC,
    version: /^2\./,
    checks: ["task.host-pids"],
    reason: "seen with runc 1.3 on cgroup v1: the rest of the cgroup lives on until Delete",
  },
];

/** Why a shim may break a rule; undefined if it may not. */
export function knownReason({ name, version }: Identity, check: string): string | undefined {
  const applies = (each: Deviation) =>
    each.checks.includes(check) && each.shim.test(name) && each.version.test(version);
  return DEVIATIONS.find(applies)?.reason;
}
