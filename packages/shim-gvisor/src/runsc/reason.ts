/**
 * What runsc says of a failure: the first line of level error or fatal in its JSON log, which it shares with its gofer and its sandbox (the
 * later ones tell what came of it), else the first of its stderr (a wrong flag is only told there). One line. Undefined where it said nothing. A spec that
 * it can't read it repeats, on a line of its own: that is left out, because it holds the environment.
 */
export function failureReason(log: string, stderr: string): string | undefined {
  const messages = entries(log).flatMap(({ level, msg }) => (level === "error" || level === "fatal" ? [msg] : []));
  const lines = stderr.split("\n").filter((line) => line.trim() !== "");
  const said = messages[0]?.split("\n").map((line) => line.trim());
  return said?.filter((line) => line !== "" && !/^[[{]/.test(line)).join("; ") ?? lines[0]?.trim();
}

interface LogEntry {
  readonly level: string;
  readonly msg: string;
}

/** The objects of a JSON log. runsc ends them by a newline or by nothing at all; one that was cut off ends the list. */
function entries(log: string): LogEntry[] {
  return log
    .replaceAll(/\}\s*\{"/g, '}\n{"')
    .split("\n")
    .flatMap((line) => {
      const parsed = parseJson(line);
      if (typeof parsed !== "object" || parsed === null) return [];
      const { level, msg } = parsed as Record<string, unknown>;
      return typeof level === "string" && typeof msg === "string" ? [{ level, msg }] : [];
    });
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
