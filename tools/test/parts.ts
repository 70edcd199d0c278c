import { globSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/** One part of the suite: a command that exits with 0 if all is well. */
export interface Part {
  /** What `--only` takes; `--only=e2e` takes `e2e:cli`, too. */
  readonly name: string;
  readonly command: readonly string[];
  /** Relative to the root. Default: the root. */
  readonly directory?: string;
  /** A part that hangs is ended and has failed. About four times what it takes on two cores. */
  readonly limitMs: number;
  /** It only computes: it runs beside the others, with what they leave of the processor. */
  readonly isAside?: boolean;
}

const MINUTE_MS = 60_000;
const nx = (target: string) => ["nx", "run-many", "-t", target, "--outputStyle=static", "--parallel=2"];

const STATIC: readonly Part[] = [
  { name: "lint", command: ["biome", "check", "."], limitMs: MINUTE_MS },
  { name: "boundaries", command: ["node", "tools/lint-boundaries.ts"], limitMs: MINUTE_MS },
  { name: "dependencies", command: ["node", "tools/lint-dependencies.ts"], limitMs: MINUTE_MS },
  { name: "generated", command: ["node", "packages/proto/generate.ts", "--check"], limitMs: MINUTE_MS },
  { name: "typecheck", command: nx("typecheck"), limitMs: 2 * MINUTE_MS },
  { name: "unit", command: nx("test"), limitMs: 4 * MINUTE_MS },
];
const CONTAINERD: Part = { name: "e2e", command: ["node", "e2e/run.ts"], limitMs: 15 * MINUTE_MS };
/** The harness that boots a machine, then cgroup v2 in one. Emulated: minutes on a busy machine. */
const VM: Part = {
  name: "e2e-vm",
  command: ["node", "--test", "--test-timeout=300000", "e2e/vm/engine-watch.test.ts", "e2e/vm/machine.test.ts"],
  limitMs: 5 * MINUTE_MS,
};
const V2: Part = { name: "e2e-v2", command: ["node", "e2e/vm/run.ts"], limitMs: 8 * MINUTE_MS };
/** Pods in machines. The long form: E2E_KATA=long. */
const KATA: Part = {
  name: "e2e-kata",
  command: ["node", "e2e/run.ts", "e2e/kata.test.ts", "e2e/kata-sandbox.test.ts"],
  limitMs: 10 * MINUTE_MS,
};
/** systemd's cgroup driver, with systemd as the machine's PID 1. */
const SYSTEMD: Part = {
  name: "e2e-systemd",
  command: ["env", "E2E_ENGINES=2.x", "node", "e2e/vm/run.ts", "--systemd"],
  limitMs: 8 * MINUTE_MS,
};
/** Every known attack, and a moment for every parser. */
const ATTACKS: readonly Part[] = [
  {
    name: "fuzz:parsers",
    command: ["node", "tools/fuzz/run.ts", "--seconds", "30"],
    limitMs: 10 * MINUTE_MS,
    isAside: true,
  },
  { name: "attacks", command: ["npm", "run", "--silent", "attacks"], limitMs: 20 * MINUTE_MS },
];
/** As a new user: packages, documents, the manual, metrics, the page in a browser. */
const ADOPT: Part = {
  name: "adopt",
  command: [
    "node",
    "tools/subreap.ts",
    "node",
    "--test",
    "--test-timeout=250000",
    "--test-concurrency=3",
    "e2e/adopt/*.test.ts",
  ],
  limitMs: 5 * MINUTE_MS,
};
/** Our daemon in containerd's place, with upstream's shim: what is left to test there is the daemon. */
const DAEMON: Part = {
  name: "e2e-daemon",
  command: [
    "env",
    "E2E_DAEMON=trimaran",
    "E2E_RUNTIMES=control",
    "node",
    "e2e/run.ts",
    ...["run", "exec", "lifecycle", "restart", "events", "terminal"].map((name) => `e2e/${name}.test.ts`),
  ],
  limitMs: 10 * MINUTE_MS,
};

/** All parts, the quick ones first: what packages offer as conformance, analyze, fuzz and e2e is found in their scripts. */
export function listParts(root: string): Part[] {
  const packages = globSync("packages/*/package.json", { cwd: root }).sort();
  const fromScripts = (script: string, limitMs = 4 * MINUTE_MS, isAside = false): Part[] =>
    packages
      .filter((path) => scriptsOf(join(root, path)).has(script))
      .map((path) => ({
        name: `${script}:${basename(dirname(path))}`,
        command: ["npm", "run", "--silent", script],
        directory: dirname(path),
        ...{ limitMs, isAside },
      }));
  return [
    ...STATIC,
    ...fromScripts("analyze", 10 * MINUTE_MS, true),
    ...fromScripts("conformance"),
    ...fromScripts("fuzz", 10 * MINUTE_MS, true),
    ...ATTACKS,
    ...fromScripts("e2e", 8 * MINUTE_MS),
    VM,
    ADOPT,
    V2,
    SYSTEMD,
    CONTAINERD,
    KATA,
    DAEMON,
  ];
}

/** The parts that `--only=NAME[,NAME…]` means. Throws if a name means none. */
export function chooseParts(parts: readonly Part[], only: string | undefined): readonly Part[] {
  if (only === undefined) return parts;
  const wanted = only.split(",");
  const means = (name: string, part: Part) => part.name === name || part.name.startsWith(`${name}:`);
  for (const name of wanted.filter((each) => !parts.some((part) => means(each, part))))
    throw new Error(`--only=${name}: none of ${parts.map((part) => part.name).join(" ")}`);
  return parts.filter((part) => wanted.some((name) => means(name, part)));
}

function scriptsOf(path: string): ReadonlySet<string> {
  const json = JSON.parse(readFileSync(path, "utf8")) as { readonly scripts?: Readonly<Record<string, string>> };
  return new Set(Object.keys(json.scripts ?? {}));
}
