import { isAbsolute } from "node:path";

/** One end of a copy. */
export interface CopyPlace {
  /** The container; undefined for the host. */
  readonly id: string | undefined;
  readonly path: string;
  /** Whether the copy goes into it (it ends with a slash) or becomes it. */
  readonly isDirectory: boolean;
}

/**
 * `CONTAINER:/PATH`, or a path of the host: anything with a slash or a dot in front of its first colon, or without one. Throws
 * RangeError.
 */
export function parseCopyPlace(text: string): CopyPlace {
  const [, id, inside] = /^([^/.:][^/:]*):(.*)$/s.exec(text) ?? [];
  const path = inside ?? text;
  if (path === "") throw new RangeError(`${JSON.stringify(text)}: no path`);
  if (id !== undefined && !isAbsolute(path))
    throw new RangeError(`${JSON.stringify(text)}: not an absolute path in it`);
  const isDirectory = path.endsWith("/");
  const clean = path.length > 1 ? path.replace(/\/+$/, "") || "/" : path;
  return { id, path: clean, isDirectory };
}
