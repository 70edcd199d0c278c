import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename } from "node:fs/promises";
import { basename, join } from "node:path";
import { ensurePackages } from "../../tools/debian.ts";
import { runOk } from "./process.ts";

const BUILD = join(import.meta.dirname, "../../build/e2e");
const FLAGS = ["-std=gnu17", "-Os", "-static", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion"];

/** The static program of one C file, built when its source has changed; its path. */
export async function compile(source: string): Promise<string> {
  const key = createHash("sha256")
    .update(await readFile(source))
    .digest("hex")
    .slice(0, 12);
  const binary = join(BUILD, `${basename(source, ".c")}-${key}`);
  if (existsSync(binary)) return binary;
  await ensurePackages(["gcc", "libc6-dev"]);
  await mkdir(BUILD, { recursive: true });
  await runOk(["gcc", ...FLAGS, "-o", `${binary}.${process.pid}`, source]);
  await rename(`${binary}.${process.pid}`, binary);
  return binary;
}
