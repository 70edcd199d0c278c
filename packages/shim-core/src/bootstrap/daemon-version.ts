import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Major version of the containerd that calls us. containerd 1.7 and 2.x look the same from inside `start`, but want different
 * replies, so its binary is asked once, and the answer is remembered by the binary's identity. 1 where it can't be told: every
 * version understands the answer for 1. `cacheFile` is written whole, `signal` ends the wait.
 */
export async function daemonMajorVersion(binary: string, cacheFile: string, signal: AbortSignal): Promise<number> {
  const identity = fileIdentity(binary);
  if (identity === undefined) return 1;
  const cached = readCache(cacheFile);
  const known = cached[identity];
  if (known !== undefined) return known;
  const text = await new Promise<string>((resolve) => {
    execFile(binary, ["--version"], { timeout: 2000, signal, env: {} }, (_error, stdout) => resolve(stdout));
  });
  const major = parseMajorVersion(text);
  writeCache(cacheFile, { ...cached, [identity]: major });
  return major;
}

/**
 * `containerd github.com/containerd/containerd/v2 2.1.4 …` → 2; 1 where there is no version in the text. Another daemon says whose
 * API it serves: `name 0.1.0 (API of containerd 2.1)` → 2.
 */
export function parseMajorVersion(text: string): number {
  const words = text.split(/\s+/);
  const version = words.slice(words.lastIndexOf("containerd") + 1).find((word) => /^v?\d{1,6}\.\d+/.test(word));
  return version ? Number.parseInt(version.replace(/^v/, ""), 10) : 1;
}

function fileIdentity(path: string): string | undefined {
  if (!path.startsWith("/")) return undefined;
  try {
    const stat = statSync(path);
    return `${path}:${stat.ino}:${stat.size}:${stat.mtimeMs}`;
  } catch {
    return undefined;
  }
}

function readCache(file: string): Record<string, number> {
  try {
    const parsed: unknown = JSON.parse(readFileSync(file, "utf8"));
    if (typeof parsed !== "object" || parsed === null) return {};
    return Object.fromEntries(
      Object.entries(parsed).filter((entry): entry is [string, number] => typeof entry[1] === "number"),
    );
  } catch {
    return {};
  }
}

function writeCache(file: string, cache: Record<string, number>): void {
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    const temporary = `${file}.${process.pid}`;
    writeFileSync(temporary, JSON.stringify(cache), { mode: 0o600 });
    renameSync(temporary, file);
  } catch {
    // a full disk costs the next start a few milliseconds, not this one its life
  }
}
