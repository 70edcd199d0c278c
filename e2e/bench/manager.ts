// Our daemon against containerd, in turn, with the same `ctr`: node e2e/bench/manager.ts [-n ROUNDS] [--readme].
// Prints Markdown; --readme writes it into the package's README, too.
// A busy disk decides more than either does: unshare -m sh -c 'mount -t tmpfs tmpfs /tmp && node e2e/bench/manager.ts'
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { DEFAULT_DIRECTORIES, openClient } from "@trimaran/manager";
import { DockerRegistry } from "../../packages/manager/src/testing/docker-registry.ts";
import { runContainer } from "../harness/container.ts";
import { type Engine, startContainerd } from "../harness/containerd.ts";
import { IMAGE } from "../harness/images.ts";
import { CONTROL, TRIMARAN } from "../harness/matrix.ts";
import { manyFilesImage } from "./many-files-image.ts";
import { writeBetweenMarks } from "./markdown.ts";
import { machine } from "./report.ts";
import { ratioOf, short, summarize } from "./statistics.ts";

const { values } = parseArgs({
  options: { rounds: { type: "string", short: "n", default: "20" }, readme: { type: "boolean", default: false } },
});
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`-n ${values.rounds}: not a number of rounds`);

const CONTAINERS = 1000;
const MANY_FILES = "trimaran.test/many-files:1";
const IMPORT_LIMIT_MS = 120_000;
const IDLE_MS = 15_000;
/** An import takes a hundred times as long as the other steps: fewer of them. */
const importRounds = Math.max(2, Math.ceil(rounds / 6));

/** Milliseconds, and KiB for memory, by what was measured; the n-th of each engine was taken in the same round. */
type Samples = Map<string, number[]>;

const directory = await mkdtemp(join(tmpdir(), "trimaran-bench-"));
try {
  const rows: string[] = [];
  for (const version of ["1.6", "2.x"] as const) {
    await using ours = await startContainerd({ version, daemon: "trimaran" });
    await using theirs = await startContainerd({ version, daemon: "containerd" });
    rows.push(...(await compare(version, ours, theirs)));
    process.stderr.write(`${version}: ${rounds} rounds\n`);
  }
  const text = await render(rows);
  console.log(text);
  if (values.readme) await writeBetweenMarks(join(import.meta.dirname, "../../packages/manager/README.md"), text);
} finally {
  await rm(directory, { recursive: true });
}

async function render(rows: readonly string[]): Promise<string> {
  const facts = await machine();
  const engines = `${facts.containerd} and ${facts["containerd 2.x"]}`;
  return `${facts.cpu}, ${facts.memory}, ${facts.system}; Node ${facts.node}; ${new Date().toISOString().slice(0, 10)}; ${engines}; ${rounds} rounds in turn.
A ratio is ours over containerd's, median and quartiles of the rounds: below 1 ours is better. \`run\`, \`images\`, … are commands of that version's \`ctr\`, from its start to its end.

| ms, p50 / p99 | trimaran daemon | containerd | ratio |
|---|---|---|---|
${rows.join("\n")}`;
}

async function compare(version: string, ours: Engine, theirs: Engine): Promise<string[]> {
  const [own, other]: [Samples, Samples] = [new Map(), new Map()];
  const sides = [
    { engine: ours, samples: own, runtime: TRIMARAN },
    { engine: theirs, samples: other, runtime: CONTROL },
  ];
  await inTurn(sides, rounds, "run --rm true", ({ engine, runtime }) => runTrue(engine, runtime));
  await inTurn(sides, rounds, "run --rm true, upstream's shim on both", ({ engine }) => runTrue(engine, CONTROL));
  await inTurn(sides, rounds, "images ls", ({ engine }) => engine.ctrOk("images", "ls"));
  for (const compression of ["none", "gzip"] as const) {
    const path = join(directory, `${version}-${compression}.tar`);
    await writeFile(path, manyFilesImage(MANY_FILES, compression));
    const step = `import, 25,000 files, 300 MB, ${compression}`;
    await inTurn(
      sides,
      importRounds,
      step,
      ({ engine }) => engine.ctrWith({ timeoutMs: IMPORT_LIMIT_MS }, "images", "import", path),
      ({ engine }) => engine.ctrOk("images", "rm", "--sync", MANY_FILES),
    );
    if (compression === "gzip") await pulls(sides, path);
    await rm(path);
  }
  for (const { engine } of sides) await fill(engine);
  await inTurn(sides, rounds, `containers ls, ${CONTAINERS}`, ({ engine }) => engine.ctrOk("containers", "ls"));
  await inTurn(sides, rounds, `containers ls -q, ${CONTAINERS}`, ({ engine }) =>
    engine.ctrOk("containers", "ls", "-q"),
  );
  await addIdleMemory(sides, `idle after all this, with ${CONTAINERS} containers`);
  for (const { engine } of sides) {
    await engine.restart();
    await engine.ctrOk("version");
  }
  await addIdleMemory(sides, `idle after its start, with ${CONTAINERS} containers`);
  return [...own].map(([step, mine]) => row(`${version}: ${step}`, mine, other.get(step) ?? []));
}

/** From Debian's docker-registry, on loopback and without TLS: what is measured is the client. */
async function pulls(sides: readonly Side[], archive: string): Promise<void> {
  const folder = await mkdtemp(join(directory, "registry-"));
  await using registry = await DockerRegistry.open(folder);
  const reference = `${registry.host}/many-files:1`;
  const [first] = sides;
  if (first === undefined) throw new Error("no engine to push with");
  const limit = { timeoutMs: IMPORT_LIMIT_MS };
  await first.engine.ctrWith(limit, "images", "import", archive);
  await first.engine.ctrWith(limit, "images", "push", "--plain-http", reference, MANY_FILES);
  await first.engine.ctrOk("images", "rm", "--sync", MANY_FILES);
  await inTurn(
    sides,
    importRounds,
    "pull, 25,000 files, 300 MB, gzip",
    ({ engine }) => engine.ctrWith(limit, "images", "pull", "--plain-http", reference),
    ({ engine }) => engine.ctrOk("images", "rm", "--sync", reference),
  );
}

interface Side {
  readonly engine: Engine;
  readonly samples: Samples;
  readonly runtime: string;
}

async function inTurn(
  sides: readonly Side[],
  count: number,
  step: string,
  work: (side: Side) => Promise<unknown>,
  undo: (side: Side) => Promise<unknown> = async () => undefined,
): Promise<void> {
  for (let round = 0; round <= count; round++) {
    for (const side of sides) {
      const began = performance.now();
      await work(side);
      const took = performance.now() - began;
      await undo(side);
      if (round > 0) add(side.samples, step, took); // the first one warms up
    }
  }
}

async function runTrue(engine: Engine, runtime: string): Promise<void> {
  const { code, stderr } = await runContainer(engine, runtime, {}, ["true"]);
  if (code !== 0) throw new Error(`${engine.kind}: ctr run: ${code}: ${stderr}`);
}

/** A thousand records like the one that `ctr` makes, its whole spec included. */
async function fill(engine: Engine): Promise<void> {
  const id = engine.newId();
  await engine.ctrOk("containers", "create", IMAGE, id);
  await using client = await openClient({
    directories: DEFAULT_DIRECTORIES,
    namespace: engine.namespace,
    address: engine.address,
    access: "write",
    shimDirectories: [],
    environment: {},
    publishBinary: "",
    debug: false,
    version: "",
  });
  const { container } = await client.services.containers.get({ id });
  if (container === undefined) throw new Error(`${engine.kind}: no container ${id}`);
  for (let count = 1; count < CONTAINERS; count++) {
    const copy = { ...container, id: `${id}-${count}`, snapshotter: "", snapshotKey: "" };
    await client.services.containers.create({ container: copy });
  }
}

/** When nothing has happened for a while: both give memory back then. */
async function addIdleMemory(sides: readonly Side[], step: string): Promise<void> {
  await delay(IDLE_MS);
  for (const { engine, samples } of sides) await addMemory(engine, samples, step);
}

async function addMemory(engine: Engine, samples: Samples, step: string): Promise<void> {
  const text = await readFile(`/proc/${engine.pid}/smaps_rollup`, "utf8");
  for (const name of ["Pss", "Rss"]) {
    add(samples, `KiB ${name}, ${step}`, Number(new RegExp(`^${name}: +(\\d+) kB`, "m").exec(text)?.[1]));
  }
}

function add(samples: Samples, step: string, value: number): void {
  samples.set(step, [...(samples.get(step) ?? []), value]);
}

function row(name: string, ours: readonly number[], theirs: readonly number[]): string {
  const times = [ours, theirs].map((each) => {
    const { p50, p99 } = summarize(each);
    return each.length === 1 ? short(p50) : `${short(p50)} / ${short(p99)}`;
  });
  const { median, lower, upper } = ratioOf(theirs, ours);
  return `| ${[name, ...times, `${short(median)} (${short(lower)} to ${short(upper)})`].join(" | ")} |`;
}
