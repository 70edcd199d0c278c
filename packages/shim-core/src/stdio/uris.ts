import { Code, StatusError } from "ttrpc-ts";

/** The strings of Create and Exec, as containerd sends them. Empty: none. */
export interface StdioUris {
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly terminal: boolean;
}

/** Where a process's output goes, or its input comes from. Source: contract section 5.1. */
export type StdioTarget =
  | { readonly kind: "null" }
  | { readonly kind: "fifo"; readonly path: string }
  | { readonly kind: "file"; readonly path: string }
  | {
      readonly kind: "logger";
      readonly path: string;
      readonly args: readonly string[];
      readonly mustReportReady: boolean;
    };

export interface Stdio {
  readonly stdin: StdioTarget;
  readonly stdout: StdioTarget;
  readonly stderr: StdioTarget;
  readonly terminal: boolean;
}

/**
 * Parse the three strings. For `file:` and the loggers stdout's URI decides for stderr as well. Throws InvalidArgument on a scheme that
 * is not known, or a path that is not absolute.
 */
export function parseStdio(uris: StdioUris): Stdio {
  const stdout = parseTarget("stdout", uris.stdout);
  const shared = stdout.kind === "file" || stdout.kind === "logger";
  return {
    stdin: shared && uris.stdin === uris.stdout ? { kind: "null" } : parseTarget("stdin", uris.stdin),
    stdout,
    stderr: uris.terminal ? { kind: "null" } : shared ? stdout : parseTarget("stderr", uris.stderr),
    terminal: uris.terminal,
  };
}

/** Whether output goes to a FIFO, which a client reads at its own pace. */
export function hasReader(uris: StdioUris): boolean {
  const { stdout, stderr } = parseStdio(uris);
  return stdout.kind === "fifo" || stderr.kind === "fifo";
}

function parseTarget(field: string, text: string): StdioTarget {
  if (text === "") return { kind: "null" };
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1];
  if (scheme === undefined) return { kind: "fifo", path: absolute(field, text) };
  const rest = text.slice(scheme.length + 3);
  const [path = "", query = ""] = splitOnce(rest, "?");
  switch (scheme) {
    case "fifo":
      return { kind: "fifo", path: absolute(field, decode(field, rest, decodeURI)) };
    case "file":
      return { kind: "file", path: absolute(field, decode(field, path, decodeURIComponent)) };
    case "binary":
    case "binary-v2":
      if (field === "stdin") return { kind: "null" };
      return {
        kind: "logger",
        path: absolute(field, decode(field, path, decodeURIComponent)),
        args: loggerArguments(query),
        mustReportReady: scheme === "binary-v2",
      };
    default:
      throw new StatusError(Code.InvalidArgument, `${field} ${JSON.stringify(text)}: unknown STDIO scheme ${scheme}`);
  }
}

/** The query's keys and values, in order, as a logger's argv after its path: a key without a value gives an empty argument. */
function loggerArguments(query: string): string[] {
  return [...new URLSearchParams(query)].flat();
}

function decode(field: string, text: string, by: (text: string) => string): string {
  try {
    return by(text);
  } catch {
    throw new StatusError(Code.InvalidArgument, `${field} ${JSON.stringify(text)}: a % that is none of a URI`);
  }
}

function absolute(field: string, path: string): string {
  if (path.startsWith("/") && !path.includes("\0")) return path;
  throw new StatusError(Code.InvalidArgument, `${field} ${JSON.stringify(path)}: not an absolute path`);
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}
