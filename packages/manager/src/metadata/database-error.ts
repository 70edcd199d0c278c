import { Code, ManagerError, messageOf } from "../errors/manager-error.ts";

/** By SQLite's primary result codes. What is not here is a mistake of ours (a constraint, bad SQL). Source: sqlite.org/rescode.html. */
const CODES: Readonly<Record<number, Code>> = {
  5: Code.Unavailable, // BUSY: another process holds it for too long
  8: Code.Unavailable, // READONLY: the file system was remounted
  10: Code.Unavailable, // IOERR
  11: Code.DataLoss, // CORRUPT
  13: Code.ResourceExhausted, // FULL
  14: Code.Unavailable, // CANTOPEN
  26: Code.DataLoss, // NOTADB
};

/** What a client hears when the database fails for a reason outside of us: the code, and the file. Other errors pass unchanged. */
export function toDatabaseError(path: string, error: unknown): unknown {
  const code = CODES[resultCode(error) & 0xff];
  return code === undefined ? error : new ManagerError(code, `${path}: ${messageOf(error)}`, { cause: error });
}

/** SQLite's extended result code; 0 for any other error. */
function resultCode(error: unknown): number {
  if (!(error instanceof Error) || !("errcode" in error)) return 0;
  return typeof error.errcode === "number" ? error.errcode : 0;
}
