import { execFileSync, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

/** Networks of the machine, podman's say: there are none of them in the tests. */
const NETWORKS = "/etc/cni/net.d";
const MARK = "TRIMARAN_TEST_NETWORK";

/**
 * Whether this process has a network and a mount table of its own. If not, the test file is run again in a process that has them, and
 * that one's failure becomes ours: nothing that a network test does shall be seen by the machine.
 */
export function isInOwnNetwork(testFile: string): boolean {
  if (process.env[MARK] === "own") {
    if (existsSync(NETWORKS)) execFileSync("mount", ["-t", "tmpfs", "tmpfs", NETWORKS]);
    return true;
  }
  const { NODE_TEST_CONTEXT: _, ...environment } = process.env; // it would make the inner run report to our runner
  const words = ["--net", "--mount", "--propagation", "private", process.execPath, "--test", testFile];
  const { status } = spawnSync("unshare", words, {
    env: { ...environment, [MARK]: "own" },
    stdio: ["ignore", "inherit", "inherit"],
    timeout: 180_000,
  });
  if (status !== 0) throw new Error(`${testFile}: failed in a network of its own`);
  return false;
}
