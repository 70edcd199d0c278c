import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { Code, StatusError } from "ttrpc-ts";
import type { RunscBinary } from "./binary.ts";

/** In this order: newer runscs prefer systrap, older ones have none. kvm is left to those who ask for it: where it is emulated it may hang for good. */
const CANDIDATES = ["systrap", "ptrace"] as const;
/** A sandbox that works is there in a quarter of a second. */
const PROBE_LIMIT_S = 8;

/** How a platform did: it ran a program, or why not. */
type Outcome = { readonly works: true } | { readonly works: false; readonly why: string };

/** Tells which platforms really start, by starting a sandbox, once for each runsc and boot. */
export class Platforms {
  readonly #probes = new Map<string, Promise<Outcome>>();
  readonly #searchPath: string;

  constructor(searchPath: string) {
    this.#searchPath = searchPath;
  }

  /** The platform to use: `wished`, or the first that works. Throws FailedPrecondition with the reason of each. */
  async choose(runsc: RunscBinary, wished: string | undefined, cacheDirectory: string): Promise<string> {
    const failures: string[] = [];
    for (const name of wished === undefined ? CANDIDATES : [wished]) {
      const outcome = await this.#probe(runsc, name, `${cacheDirectory}/gvisor-platforms.json`);
      if (outcome.works) return name;
      failures.push(`${name}: ${outcome.why}`);
    }
    const fix = wished === undefined ? "" : `; leave it out, or set one of ${CANDIDATES.join(", ")}`;
    throw new StatusError(
      Code.FailedPrecondition,
      `runsc_config.platform: no sandbox starts here (${failures.join("; ")})${fix}`,
    );
  }

  async #probe(runsc: RunscBinary, platform: string, cacheFile: string): Promise<Outcome> {
    const key = `${runsc.identity} ${platform} ${bootId()}`;
    const known = this.#probes.get(key);
    if (known) return await known;
    const probe = readCache(cacheFile).has(key)
      ? Promise.resolve<Outcome>({ works: true })
      : startSandbox(runsc, platform, this.#searchPath);
    this.#probes.set(key, probe);
    const outcome = await probe;
    if (outcome.works) writeCache(cacheFile, key);
    else this.#probes.delete(key); // memory may have been short: the next container tries again
    return outcome;
  }
}

/**
 * Runs "$@" within a limit, with a folder of its own for what `runsc do` leaves when it is killed. The shell and timeout(1) outlive us, because
 * a platform that does not work may hang, and the folder is to go even if we are killed meanwhile.
 */
const PROBE = `scratch=$(mktemp -d -t trimaran-probe-XXXXXX) || exit
TMPDIR=$scratch timeout -k 1 ${PROBE_LIMIT_S} "$@"
status=$?
rm -rf "$scratch"
exit $status`;

/** `runsc do true`. */
async function startSandbox({ path }: RunscBinary, platform: string, searchPath: string): Promise<Outcome> {
  const flags = [`--platform=${platform}`, "--network=none", "--ignore-cgroups"];
  const argv = ["-c", PROBE, "sh", path, ...flags, "do", "true"];
  return await new Promise((resolve) => {
    execFile("/bin/sh", argv, { env: { PATH: searchPath }, cwd: "/" }, (error, _stdout, stderr) => {
      const code = Number(error?.code);
      if (error === null) resolve({ works: true });
      else if (code === 124 || code === 137) resolve({ works: false, why: `hangs (${PROBE_LIMIT_S} s)` });
      else resolve({ works: false, why: stderr.trim().split("\n").at(-1) || `exit status ${error.code}` });
    });
  });
}

function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

function readCache(file: string): ReadonlySet<string> {
  try {
    const parsed: unknown = JSON.parse(readFileSync(file, "utf8"));
    return new Set(Array.isArray(parsed) ? parsed.filter((each) => typeof each === "string") : []);
  } catch {
    return new Set(); // none yet
  }
}

function writeCache(file: string, key: string): void {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    const temporary = `${file}.${process.pid}`;
    writeFileSync(temporary, JSON.stringify([...new Set([...readCache(file), key])]), { mode: 0o600 });
    renameSync(temporary, file);
  } catch {
    // a full disk costs the next task server a quarter of a second
  }
}
