/**
 * Something that `trimaran doctor` has looked at. "problem": containers cannot run, or not as they should. "note": they can, and something is
 * missing that is optional. The JSON form of `trimaran doctor --json`, an object a line, with the runtime that it is about.
 */
export interface DoctorCheck {
  /** kernel, cgroups, limits, programs … */
  readonly group: string;
  readonly name: string;
  readonly status: "ok" | "problem" | "note";
  /** What was found, in a few words. */
  readonly found: string;
  /** One line to type or to do; present unless it is ok. */
  readonly fix?: string;
}

/** A check that either holds, or does not and needs a fix. */
export function toCheck(
  what: { readonly group: string; readonly name: string; readonly found: string },
  holds: boolean,
  otherwise: { readonly status: "problem" | "note"; readonly fix: string },
): DoctorCheck {
  return holds ? { ...what, status: "ok" } : { ...what, ...otherwise };
}
