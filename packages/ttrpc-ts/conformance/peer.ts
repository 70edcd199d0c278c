import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

const here = import.meta.dirname;
const build = join(here, "../../../build/ttrpc-go");

/** Versions of ttrpc for Go; only the second has streams. */
export const VERSIONS = ["1.1", "1.2"] as const;
export type Version = (typeof VERSIONS)[number];

/** Build the Go peer, fetching ttrpc's source first if need be. Returns the program's path. */
export function buildPeer(version: Version): string {
  mkdirSync(build, { recursive: true });
  const fetch = [join(here, "fetch-go-ttrpc.sh"), version, join(build, version)] as const;
  const gopath = execFileSync("sh", fetch, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }).trim();
  const program = join(build, `peer-${version}`);
  const tags = version === "1.1" ? ["-tags", "ttrpc11"] : [];
  const env = { ...process.env, GO111MODULE: "off", GOFLAGS: "-p=1", GOCACHE: join(build, "cache"), GOPATH: gopath };
  execFileSync("go", ["build", ...tags, "-o", program, "."], { cwd: join(here, "peer"), env, stdio: "inherit" });
  return program;
}

/** Run the peer to its end. Returns the lines of its output. */
export async function runPeer(program: string, args: readonly string[]): Promise<string[]> {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"] });
  const lines: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) lines.push(line);
  return lines;
}

/** Start the peer's server. It ends with this process, or when disposed of. */
export async function startPeer(program: string, socket: string): Promise<Disposable> {
  const child: ChildProcess = spawn(program, ["serve", socket], { stdio: ["pipe", "pipe", "inherit"] });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  child.stdout?.once("data", () => resolve());
  child.once("exit", () => reject(new Error(`${program} has exited`)));
  await promise;
  return { [Symbol.dispose]: () => void child.stdin?.end() };
}
