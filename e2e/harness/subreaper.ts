import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { ensurePackages } from "../../tools/debian.ts";
import { runOk } from "./process.ts";

const SOURCE = join(import.meta.dirname, "subreap.c");
const BUILD = join(import.meta.dirname, "../../build/e2e");
const FLAGS = ["-std=gnu17", "-Os", "-static", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion"];

/**
 * The program that runs a command under a child subreaper, built when its source has changed. Node cannot do this itself: it
 * reaps only the children that it has spawned.
 */
export async function buildSubreaper(): Promise<string> {
  const key = createHash("sha256")
    .update(await readFile(SOURCE))
    .digest("hex")
    .slice(0, 12);
  const binary = join(BUILD, `subreap-${key}`);
  if (existsSync(binary)) return binary;
  await ensurePackages(["gcc", "libc6-dev"]);
  await mkdir(BUILD, { recursive: true });
  await runOk(["gcc", ...FLAGS, "-o", `${binary}.${process.pid}`, SOURCE]);
  await rename(`${binary}.${process.pid}`, binary);
  return binary;
}

/** Spawn a command whose orphans end up with a parent that reaps them at once and kills what is left at the end. */
export async function spawnUnderSubreaper(
  argv: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<ChildProcess> {
  return spawn(await buildSubreaper(), argv, { stdio: "inherit", env });
}
