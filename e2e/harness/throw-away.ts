import { execFileSync, spawnSync } from "node:child_process";
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const MARK = "TRIMARAN_THROW_AWAY";
/** Written to by what is printed for users, and seen by nobody else. */
const OVERLAID = ["/etc", "/usr/local", "/var/lib"];
/** Where containerd and we make overlays of our own, which overlayfs cannot be below. */
const FRESH = ["/run", "/var/lib/trimaran", "/var/lib/containerd"];

/**
 * Whether this process has a mount table and a network of its own, in which `/etc`, `/usr/local`, `/run`, `/var/lib` and the checkout can be
 * written to without a trace. If not, the test file is run again in a process that has them, and that one's failure becomes ours.
 */
export function isThrowAway(testFile: string, checkout: string): boolean {
  if (process.env[MARK] !== undefined) {
    prepare(process.env[MARK], checkout);
    return true;
  }
  // The one would make the inner run report to our runner; the other is where task servers of another root can be found.
  const { NODE_TEST_CONTEXT: _, TRIMARAN_STATE: __, ...environment } = process.env;
  const place = mkdtempSync(join(tmpdir(), "trimaran-throw-away-"));
  const words = ["--net", "--mount", "--propagation", "private", process.execPath, "--test", testFile];
  try {
    const { status } = spawnSync("unshare", words, {
      env: { ...environment, [MARK]: place },
      stdio: ["ignore", "inherit", "inherit"],
      timeout: 240_000,
    });
    if (status !== 0) throw new Error(`${testFile}: failed in a root of its own`);
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
  return false;
}

/** Those of this root, which would sleep in a while, but not before it is gone; and what one that was killed did not know to be its own. */
export function endTaskServers(): void {
  for (const path of globSync("/sys/fs/cgroup{,/*}/default"))
    try {
      rmdirSync(path);
    } catch {
      // somebody else's containers are in it
    }
  for (const path of globSync("/run/trimaran/*/server.pid"))
    try {
      process.kill(Number(readFileSync(path, "utf8").split(" ")[0]));
    } catch {
      // it has gone by itself
    }
}

function prepare(place: string, checkout: string): void {
  const mount = (...words: string[]) => execFileSync("mount", words);
  mount("-t", "tmpfs", "tmpfs", place);
  for (const [at, path] of [...OVERLAID, checkout].entries()) {
    const [upper, work] = [join(place, `${at}`, "upper"), join(place, `${at}`, "work")];
    for (const folder of [upper, work]) mkdirSync(folder, { recursive: true });
    mount("-t", "overlay", "overlay", "-o", `lowerdir=${path},upperdir=${upper},workdir=${work}`, path);
  }
  for (const path of FRESH) {
    mkdirSync(path, { recursive: true });
    mount("-t", "tmpfs", "tmpfs", path);
  }
  execFileSync("ip", ["link", "set", "lo", "up"]);
}
