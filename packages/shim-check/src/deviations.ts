import type { Identity } from "./shim/identity.ts";

/** A rule that a shim is known not to keep. It is reported by name, and does not make a run fail. */
export interface Deviation {
  readonly shim: RegExp;
  readonly version: RegExp;
  /** The check's id. */
  readonly check: string;
  readonly reason: string;
}

const UPSTREAM = /^containerd-shim-runc-v2$/;

/** What upstream's shim does otherwise, and containerd lives with. */
export const DEVIATIONS: readonly Deviation[] = [];
void UPSTREAM;

/** Why a shim may break a rule; undefined if it may not. */
export function knownReason({ name, version }: Identity, check: string): string | undefined {
  return DEVIATIONS.find((each) => each.check === check && each.shim.test(name) && each.version.test(version))?.reason;
}
