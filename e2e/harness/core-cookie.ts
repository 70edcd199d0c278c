import { join } from "node:path";
import { compile } from "./compile.ts";
import { run, runOk } from "./process.ts";

const SOURCE = join(import.meta.dirname, "core-cookie.c");

/** The core-scheduling cookies of processes, by their pids; "0" is none. Throws where the kernel has none. */
export async function coreCookies(pids: readonly number[]): Promise<readonly string[]> {
  return (await runOk([await compile(SOURCE), ...pids.map(String)])).trim().split("\n");
}

/** What the kernel says when it is asked for a cookie: undefined if it has them. */
export async function coreSchedulingError(): Promise<string | undefined> {
  const { code, stderr } = await run([await compile(SOURCE), String(process.pid)]);
  return code === 0 ? undefined : stderr.trim().split(": ").at(-1);
}
