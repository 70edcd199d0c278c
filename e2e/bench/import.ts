// Import of an image of many small files, our daemon and containerd in turn: node e2e/bench/import.ts [-n ROUNDS].
// A busy disk decides more than either does: unshare -m sh -c 'mount -t tmpfs tmpfs /tmp && node e2e/bench/import.ts'
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { type Engine, startContainerd } from "../harness/containerd.ts";
import { manyFilesImage } from "./many-files-image.ts";
import { machine } from "./report.ts";
import { ratioOf, short, summarize } from "./statistics.ts";

const { values } = parseArgs({ options: { rounds: { type: "string", short: "n", default: "5" } } });
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`-n ${values.rounds}: not a number of rounds`);

const IMAGE = "trimaran.test/many-files:1";
const TICKS_PER_SECOND = 100;
const IMPORT_LIMIT_MS = 120_000;

/** What one import took: seconds, and seconds of processors in the daemon alone. */
interface Lap {
  readonly wallS: number;
  readonly cpuS: number;
}

const directory = await mkdtemp(join(tmpdir(), "trimaran-bench-"));
try {
  console.log(await machine());
  await using ours = await startContainerd({ version: "1.6", daemon: "trimaran" });
  await using theirs = await startContainerd({ version: "1.6", daemon: "containerd" });
  for (const compression of ["none", "gzip"] as const) {
    const path = join(directory, `${compression}.tar`);
    await writeFile(path, manyFilesImage(IMAGE, compression));
    const laps: [Lap, Lap][] = [];
    for (let round = 0; round <= rounds; round++) {
      const pair: [Lap, Lap] = [await lap(ours, path), await lap(theirs, path)];
      if (round > 0) laps.push(pair); // the first one warms up
    }
    for (const what of ["wallS", "cpuS"] as const) print(`${compression} ${what}`, laps, what);
  }
} finally {
  await rm(directory, { recursive: true });
}

async function lap(engine: Engine, path: string): Promise<Lap> {
  const [begin, cpuBegin] = [performance.now(), await cpuSeconds(engine.pid)];
  const { code, stderr } = await engine.ctrWith({ timeoutMs: IMPORT_LIMIT_MS }, "images", "import", path);
  if (code !== 0) throw new Error(`ctr images import: exit status ${code}\n${stderr}`);
  const result = { wallS: (performance.now() - begin) / 1000, cpuS: (await cpuSeconds(engine.pid)) - cpuBegin };
  await engine.ctrOk("images", "rm", "--sync", IMAGE);
  return result;
}

/** User and system time so far: fields 14 and 15 of stat, counted after the name, which may have blanks in it. */
async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function print(title: string, laps: readonly [Lap, Lap][], what: keyof Lap): void {
  const [ours, theirs] = [laps.map(([lap]) => lap[what]), laps.map(([, lap]) => lap[what])];
  const { median, lower, upper } = ratioOf(ours, theirs);
  const medians = `ours ${short(summarize(ours).p50)} s, containerd ${short(summarize(theirs).p50)} s`;
  console.log(`${title}: ${medians}, ratio ${short(median)} (${short(lower)} to ${short(upper)})`);
}
