import { Code, StatusError } from "ttrpc-ts";
import { parseConfig } from "../config/config.ts";
import { KEYS } from "../config/keys.ts";
import type { GuestSources } from "../image/contents.ts";
import { currentManifest, ensureImage } from "../image/ensure.ts";
import { BUILD_HINT } from "../image/failure.ts";
import { findPod, listPods } from "../machine/owner-mark.ts";
import { podMemory } from "../machine/pod-memory.ts";
import { withMachineLock } from "../machine-lock.ts";
import { vmPaths } from "../qemu/plan.ts";
import { defaultTemplates, removeTemplates, templateLock } from "../template/store.ts";
import { attachTerminal, type Terminal } from "./attach-terminal.ts";
import { doctor } from "./doctor.ts";
import { describeImage } from "./show-image.ts";

/** What a command works with. */
export interface CommandContext {
  readonly sources: GuestSources;
  /** Of images. Default: the machine's own. */
  readonly cacheDirectory?: string;
  /** Where programs are looked for. */
  readonly searchPath: string;
  /** TRIMARAN_STATE of the shims. */
  readonly stateDirectory: string;
  readonly write: (text: string) => void;
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
}

const HELP = `trimaran kata image build            # examples
trimaran kata image build --newer    also look for a newer kernel
trimaran kata image show [--json]    what is in the image, and why
trimaran kata template prune         remove all templates: the next pod's machine boots, and becomes one
trimaran kata pods                   the machines that run: namespace, pod
trimaran kata memory                 what each pod costs the host, in KiB of PSS: guest, VMM, files, shim
trimaran kata debug POD              a shell in a pod's machine, by its id, or how that begins; Control-] leaves
trimaran kata config                 the keys of /etc/trimaran/kata.toml, with defaults
`;

interface Verb {
  readonly words: string;
  readonly flags: readonly string[];
  /** How many words follow. */
  readonly operands: number;
  readonly run: (
    context: CommandContext,
    flags: ReadonlySet<string>,
    operands: readonly string[],
  ) => Promise<void> | void;
}

const VERBS: readonly Verb[] = [
  {
    words: "image build",
    flags: ["--newer"],
    operands: 0,
    run: (context, flags) => buildImage(context, flags.has("--newer")),
  },
  {
    words: "image show",
    flags: ["--json"],
    operands: 0,
    run: (context, flags) => showImage(context, flags.has("--json")),
  },
  {
    words: "debug",
    flags: [],
    operands: 1,
    run: (context, _flags, [pod = ""]) => debugPod(context, pod),
  },
  {
    words: "doctor", // what `trimaran doctor` asks; people ask that
    flags: [],
    operands: 0,
    run: async ({ sources, cacheDirectory, searchPath, signal, write }) =>
      write(JSON.stringify(await doctor(sources, { cacheDirectory, searchPath, signal }))),
  },
  { words: "pods", flags: [], operands: 0, run: (context) => showPods(context) },
  {
    words: "memory",
    flags: ["--json"],
    operands: 0,
    run: (context, flags) => showMemory(context, flags.has("--json")),
  },
  { words: "template prune", flags: [], operands: 0, run: (context) => pruneTemplates(context) },
  { words: "config", flags: [], operands: 0, run: ({ write }) => write(describeConfig()) },
];

/** Run `trimaran kata …`. Throws what describes the failure: InvalidArgument for a command line that it does not know. */
export async function runCommand(args: readonly string[], context: CommandContext): Promise<void> {
  const words = args.filter((word) => !word.startsWith("-"));
  const flags = new Set(args.filter((word) => word.startsWith("-")));
  if (words.length === 0 || flags.has("--help") || flags.has("-h")) return context.write(HELP);
  const verb = VERBS.find((each) => `${words.join(" ")} `.startsWith(`${each.words} `));
  const operands = words.slice(verb?.words.split(" ").length);
  if (verb === undefined || operands.length !== verb.operands)
    throw invalid(`${JSON.stringify(words.join(" "))}: no such command; trimaran kata --help`);
  const unknown = [...flags].find((flag) => !verb.flags.includes(flag));
  if (unknown !== undefined)
    throw invalid(`${unknown}: no such flag of ${JSON.stringify(verb.words)}; trimaran kata --help`);
  await verb.run(context, flags, operands);
}

async function buildImage({ sources, cacheDirectory, write, signal }: CommandContext, newer: boolean): Promise<void> {
  const cache = cacheDirectory === undefined ? {} : { cacheDirectory };
  const image = await ensureImage(sources, { ...cache, download: newer ? "newer" : "missing", signal });
  write(`${image.directory}\n`);
}

function showImage({ sources, cacheDirectory, write }: CommandContext, json: boolean): void {
  const manifest = currentManifest(sources, cacheDirectory);
  if (manifest === undefined)
    throw new StatusError(Code.FailedPrecondition, `guest image: it is to be built; ${BUILD_HINT}`);
  write(json ? manifest.contents.map((each) => `${JSON.stringify(each)}\n`).join("") : describeImage(manifest));
}

/** The shell is behind a port of the machine's, whose socket has its place in the pod's folder. */
async function debugPod({ stateDirectory, terminal, signal }: CommandContext, pod: string): Promise<void> {
  const path = pod.startsWith("/") ? pod : vmPaths(findPod(stateDirectory, pod).places.machine).debug;
  await attachTerminal(path, terminal, signal);
}

function showPods({ stateDirectory, write }: CommandContext): void {
  for (const { namespace, podId } of listPods(stateDirectory)) write(`${namespace}  ${podId}\n`);
}

function showMemory({ stateDirectory, write }: CommandContext, json: boolean): void {
  const pods = listPods(stateDirectory).map((pod) => ({ namespace: pod.namespace, pod: pod.podId, ...podMemory(pod) }));
  const rows = pods.map(({ namespace, pod, guestKb, vmmKb, filesKb, shimKb }) => {
    const parts = [guestKb, vmmKb, filesKb, shimKb];
    return [namespace, pod, ...[...parts, parts.reduce((sum, kb) => sum + kb, 0)].map((kb) => kb.toLocaleString("en"))];
  });
  const table = [["NAMESPACE", "POD", "GUEST", "VMM", "FILES", "SHIM", "ALL"], ...rows];
  write(json ? pods.map((each) => `${JSON.stringify(each)}\n`).join("") : toTable(table, 2));
}

/** Those of the default places, and of the place that the default configuration names. */
async function pruneTemplates({ stateDirectory, write, signal }: CommandContext): Promise<void> {
  const { template } = parseConfig([]);
  for (const root of [...defaultTemplates(stateDirectory), ...(template.path === "" ? [] : [template.path])]) {
    const bytes = await withMachineLock(templateLock(root), signal, async () => removeTemplates(root));
    if (bytes > 0) write(`${root}: ${Math.round(bytes / 2 ** 20)} MiB are free again\n`);
  }
}

/** A file that sets every key to its default: TOML, to be kept as it is. */
function describeConfig(): string {
  const lines: string[] = [];
  let table = "";
  for (const [path, { default: value, help }] of Object.entries(KEYS)) {
    const at = path.lastIndexOf(".");
    if (path.slice(0, at) !== table) lines.push(...(table === "" ? [] : [""]), `[${path.slice(0, at)}]`);
    table = path.slice(0, at);
    lines.push(`# ${help}`, `${path.slice(at + 1)} = ${JSON.stringify(value)}`);
  }
  return `${lines.join("\n")}\n`;
}

/** Columns as wide as they must be; those from `numbersFrom` on are to the right. */
function toTable(rows: readonly (readonly string[])[], numbersFrom: number): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const toCell = (text: string, column: number) =>
    column < numbersFrom ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0);
  return rows.map((row) => `${row.map(toCell).join("  ")}\n`).join("");
}

function invalid(message: string): StatusError {
  return new StatusError(Code.InvalidArgument, message);
}
