// Run the end-to-end tests: node e2e/run.ts [FILE…] [-- FLAGS of node --test]. Exit status 0 only if all of them passed.
import { once } from "node:events";
import { globSync } from "node:fs";
import { join } from "node:path";
import { ensureContainerd2, ensurePackages, ensureRecentCriu, ensureRecentRunsc } from "../tools/debian.ts";
import { ensureGuestImage } from "../tools/guest/image.ts";
import { buildImages, buildRootfs } from "./harness/images.ts";
import { PATIENCE } from "./harness/patience.ts";
import { spawnUnderSubreaper } from "./harness/subreaper.ts";
import { warmUp } from "./harness/warm-up.ts";

const split = process.argv.indexOf("--");
const names = process.argv.slice(2, split < 0 ? undefined : split);
const flags = split < 0 ? [] : process.argv.slice(split + 1);

await ensurePackages();
await ensureContainerd2();
await ensureRecentRunsc();
await ensureRecentCriu();
if (process.arch === "x64") await ensureGuestImage(); // there are no others yet
await buildImages(); // once, not by every test file at the same time
await buildRootfs();
if (PATIENCE > 1) await warmUp(); // in a slow machine the first start of a task server takes longer than its client waits
/** Machines under emulation take both cores, and would make what is timed by others late: they are a run of their own. */
const APART = new Set(["kata.test.ts", "kata-sandbox.test.ts"]);
const all = globSync("*.test.ts", { cwd: import.meta.dirname }).filter((name) => !APART.has(name));
const files = names.length > 0 ? names : all.sort().map((name) => join(import.meta.dirname, name));
// A scenario waits more than it computes: three files at a time keep two cores busy.
const argv = [process.execPath, "--test", "--test-concurrency=3", ...flags, ...files];
const runner = await spawnUnderSubreaper(argv);
const [code] = await once(runner, "exit");
process.exitCode = typeof code === "number" ? code : 1;
