import { readFileSync } from "node:fs";
import { Code, StatusError } from "ttrpc-ts";

/** The text of the file that a runtime's options name. Throws InvalidArgument with the reason. */
export function readOptionsFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new StatusError(Code.InvalidArgument, `options ConfigPath ${path}: can't be read (${why})`, { cause: error });
  }
}
