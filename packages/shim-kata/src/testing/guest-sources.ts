import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { GuestSources } from "../image/contents.ts";
import { runProgram } from "../run-program.ts";

const PACKAGE = join(import.meta.dirname, "../..");
const NODE = join(PACKAGE, `../../node_modules/node-linux-${process.arch}/bin/node`);

/** Sources of an image whose agent is the stand-in, in `directory`. */
export async function standInSources(directory: string): Promise<GuestSources> {
  mkdirSync(directory, { recursive: true });
  await runProgram(["make", "-s", "-C", join(PACKAGE, "c"), `OUT=${directory}`]);
  copyFileSync(join(import.meta.dirname, "stand-in-agent.js"), join(directory, "agent.cjs"));
  return { node: NODE, directory, busybox: "/bin/busybox" };
}
