import type { EngineVersion } from "./harness/config.ts";
import type { Step } from "./harness/transcript.ts";

/** How a command ends: its exit status, and the class of its error ("" for none). */
export interface Ending {
  readonly code: number;
  readonly error: string;
}

/** A command that ends otherwise with our daemon than with containerd, on purpose. */
export interface KnownDifference {
  readonly step: Step;
  readonly versions: readonly EngineVersion[];
  readonly why: string;
  readonly theirs: Ending;
  readonly ours: Ending;
}

const FINE: Ending = { code: 0, error: "" };

/** All that we know of. What the daemons answer is checked, so that a difference that has gone is noticed. The steps run in this order. */
export const KNOWN_DIFFERENCES: readonly KnownDifference[] = [
  {
    step: "images export --platform linux/s390x $DIR/none.tar $IMAGE",
    versions: ["2.x"],
    why: "containerd asks for the platform only within an index, and exports an image of one manifest whatever it is for; an archive for another machine than was asked for is found out when it does not run",
    theirs: FINE,
    ours: { code: 1, error: "not found" },
  },
  {
    step: "sandboxes run --runtime io.containerd.trimaran-runc.v2 $DIR/tmp/pod.json pod",
    versions: ["2.x"],
    why: "ctr 2.1 names no sandboxer and never calls Create: its own daemon refuses Start and keeps the record; ours takes its one sandboxer, and makes what is only on record",
    theirs: { code: 1, error: "unknown" },
    ours: FINE,
  },
  {
    step: "plugins inspect-runtime --runtime io.containerd.none.v1",
    versions: ["2.x"],
    why: "containerd's code is Unknown",
    theirs: { code: 1, error: "other" },
    ours: { code: 1, error: "not found" },
  },
  {
    step: "plugins inspect-runtime --runc-binary /nonexistent/runc",
    versions: ["2.x"],
    why: "containerd's code is Unknown; both pass the shim's words on",
    theirs: { code: 1, error: "other" },
    ours: { code: 1, error: "unavailable" },
  },
];
