import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { compile } from "./compile.ts";

const SOURCE = join(import.meta.dirname, "subreap.c");

/**
 * The program that runs a command under a child subreaper. Node cannot do this itself: it reaps only the children that it has spawned.
 */
export function buildSubreaper(): Promise<string> {
  return compile(SOURCE);
}

/** Spawn a command whose orphans end up with a parent that reaps them at once and kills what is left at the end. */
export async function spawnUnderSubreaper(
  argv: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<ChildProcess> {
  return spawn(await buildSubreaper(), argv, { stdio: "inherit", env });
}
