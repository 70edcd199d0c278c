// The whole grid: every scenario in every cell of engine × client × runtime, the control first:
//   npm run e2e:full [-- --runtime runc,control] [--engine 1.6] [--client ctr-1.6,trimaran] [--scenario exec,tty] [--readme]
// Prints a table per runtime and writes build/grid.json, which further runs add to; --readme puts what is in there into e2e/README.md.
// Exit status 0 only if no cell has failed.
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { ensureContainerd2, ensurePackages } from "../tools/debian.ts";
import { writeBetweenMarks } from "./bench/markdown.ts";
import { type Client, ctrClient, trimaranClient } from "./grid/client.ts";
import { CannotBe, SCENARIOS } from "./grid/scenarios.ts";
import { deleteTasks } from "./harness/clean-up.ts";
import type { Engine } from "./harness/containerd.ts";
import { type EngineName, openEngine, type RuntimeName, runtimeType } from "./harness/driver.ts";
import { assertNoLeaks, snapshot } from "./harness/leaks.ts";

const RUNTIMES = ["control", "runc", "gvisor", "kata"] as const;
const ENGINES = ["1.6", "2.x", "trimaran"] as const;
const CLIENTS = ["ctr-1.6", "ctr-2.x", "trimaran"] as const;
const COLUMNS = ENGINES.flatMap((engine) => CLIENTS.map((client) => [engine, client] as const));
const RESULTS = join(import.meta.dirname, "../build/grid.json");

/** `ok`, or what is wrong, or why the cell can't be. */
interface Result {
  readonly mark: "ok" | "FAIL" | "-";
  readonly why?: string;
}

const { values } = parseArgs({
  options: {
    runtime: { type: "string" },
    engine: { type: "string" },
    client: { type: "string" },
    scenario: { type: "string" },
    readme: { type: "boolean", default: false },
    "print-only": { type: "boolean", default: false },
  },
});

const results = new Map<string, Result>(await readResults());
const names = chosen(Object.keys(SCENARIOS), values.scenario);
if (!values["print-only"]) {
  await ensurePackages();
  for (const runtime of chosen(RUNTIMES, values.runtime))
    for (const engine of chosen(ENGINES, values.engine)) await runColumns(engine, runtime);
}
const text = RUNTIMES.filter(wasRun).map(table).join("\n");
console.log(text);
if (values.readme) await writeBetweenMarks(join(import.meta.dirname, "README.md"), text);
process.exitCode = [...results.values()].some(({ mark }) => mark === "FAIL") ? 1 : 0;

/** All clients' columns of an engine and a runtime, on one engine. */
async function runColumns(engineName: EngineName, runtime: RuntimeName): Promise<void> {
  await using engine = await openEngine(engineName, runtime);
  for (const client of await openClients(engine, runtime)) {
    for (const name of names) {
      const result = await runCell(engine, runtime, client, name);
      await save(key(runtime, engineName, client.name, name), result);
      console.log(
        `${runtime} ${engineName} ${client.name} ${name}: ${result.mark}${result.why ? `: ${result.why}` : ""}`,
      );
    }
  }
}

/** Into the file, with what other runs have put there meanwhile. */
async function save(cell: string, result: Result): Promise<void> {
  for (const [other, known] of await readResults()) results.set(other, known);
  results.set(cell, result);
  await mkdir(dirname(RESULTS), { recursive: true });
  await writeFile(`${RESULTS}.${process.pid}`, JSON.stringify([...results]));
  await rename(`${RESULTS}.${process.pid}`, RESULTS);
}

async function readResults(): Promise<[string, Result][]> {
  return existsSync(RESULTS) ? JSON.parse(await readFile(RESULTS, "utf8")) : [];
}

async function openClients(engine: Engine, runtime: RuntimeName): Promise<Client[]> {
  const type = runtimeType(runtime);
  const recent = join(await ensureContainerd2(), "bin/ctr");
  const all: Readonly<Record<(typeof CLIENTS)[number], Client>> = {
    "ctr-1.6": ctrClient(engine, "ctr-1.6", "/usr/bin/ctr", type),
    "ctr-2.x": ctrClient(engine, "ctr-2.x", recent, type),
    trimaran: trimaranClient(engine, type),
  };
  return chosen(CLIENTS, values.client).map((name) => all[name]);
}

async function runCell(engine: Engine, runtime: RuntimeName, client: Client, name: string): Promise<Result> {
  // with upstream's shim ctr loses output now and then: the control may try again, ours may not
  for (let tries = runtime === "control" ? 4 : 1; ; tries--) {
    const before = await snapshot(engine);
    try {
      await SCENARIOS[name]?.({ engine, client, runtime });
      if (runtime !== "control") await assertNoLeaks(engine, before);
      return { mark: "ok" };
    } catch (error) {
      const why = (error instanceof Error ? error.message : String(error)).replace(/\s+/g, " ").slice(0, 300);
      await deleteTasks(engine).catch(() => undefined);
      if (error instanceof CannotBe) return { mark: "-", why };
      if (/not implemented/i.test(why)) return { mark: "-", why };
      if (tries === 1) return { mark: "FAIL", why };
    }
  }
}

/** Rows: scenarios; columns: engine and client. Below it the reasons of all that is not ok. A cell that was never run is empty. */
function table(runtime: RuntimeName): string {
  const head = COLUMNS.map(
    ([engine, client]) => `${engine === "trimaran" ? "our daemon" : `containerd ${engine}`}, ${client}`,
  );
  const rows = Object.keys(SCENARIOS).map((name) => {
    const cells = COLUMNS.map(([engine, client]) => results.get(key(runtime, engine, client, name))?.mark ?? "");
    return `| ${[name, ...cells].join(" | ")} |`;
  });
  const title = [`**${runtimeType(runtime)}**`, "", `| | ${head.join(" | ")} |`, `|${"---|".repeat(head.length + 1)}`];
  return [...title, ...rows, "", ...reasons(runtime), ""].join("\n");
}

/** One line for each reason, with the columns that it is for. */
function reasons(runtime: RuntimeName): string[] {
  const where = new Map<string, string[]>();
  for (const [engine, client] of COLUMNS) {
    for (const name of Object.keys(SCENARIOS)) {
      const { why, mark } = results.get(key(runtime, engine, client, name)) ?? {};
      const reason = `${name}: ${mark} ${why}`;
      if (why !== undefined) where.set(reason, [...(where.get(reason) ?? []), `${engine}/${client}`]);
    }
  }
  return [...where].map(([reason, columns]) => `- ${reason} (${columns.join(", ")})`);
}

function wasRun(runtime: RuntimeName): boolean {
  return [...results.keys()].some((cell) => cell.startsWith(`${runtime}/`));
}

function key(runtime: RuntimeName, engine: EngineName, client: string, scenario: string): string {
  return [runtime, engine, client, scenario].join("/");
}

/** Those that a flag names, or all. Throws on another name. */
function chosen<T extends string>(all: readonly T[], wish: string | undefined): T[] {
  const wanted = wish?.split(",") ?? all;
  for (const name of wanted)
    if (!all.some((each) => each === name)) throw new RangeError(`"${name}": none of ${all.join(", ")}`);
  return all.filter((name) => wanted.includes(name));
}
