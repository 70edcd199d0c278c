/** The runtimes that can be asked for alone. */
export const RUNTIMES = ["runc", "gvisor", "kata"] as const;
export type Runtime = (typeof RUNTIMES)[number];

/** Something that was looked at. Source: DoctorCheck in packages/linux/src/doctor, which the shims' own programs print as a JSON list. */
export interface Check {
  readonly group: string;
  readonly name: string;
  readonly status: "ok" | "problem" | "note";
  readonly found: string;
  readonly fix?: string;
}

/** Throws RangeError for what is no runtime's name. */
export function parseRuntime(text: string): Runtime {
  const name = text.replace(/^io\.containerd\.trimaran-|^trimaran-|\.v2$/g, "").replace(/^trimaran-/, "");
  const found = RUNTIMES.find((runtime) => runtime === name);
  if (found === undefined) throw new RangeError(`${JSON.stringify(text)}: not ${RUNTIMES.join(", ")}`);
  return found;
}

/** What a runtime's own program has printed. Throws SyntaxError for anything else. */
export function parseChecks(text: string): Check[] {
  const list: unknown = JSON.parse(text);
  if (!Array.isArray(list) || !list.every(isCheck)) throw new SyntaxError("not a list of checks");
  return list;
}

function isCheck(value: unknown): value is Check {
  const { group, name, status, found } = (value ?? {}) as Record<string, unknown>;
  return (
    [group, name, found].every((text) => typeof text === "string") && ["ok", "problem", "note"].includes(String(status))
  );
}

/** What a host lacks for a runtime that nobody has asked for is no problem of the host's. */
export function asOptional(check: Check, runtime: Runtime): Check {
  if (check.status !== "problem") return check;
  return { ...check, status: "note", fix: `only if you want ${runtime} containers: ${check.fix ?? ""}` };
}
