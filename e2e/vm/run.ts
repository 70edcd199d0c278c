// Run tests in a virtual machine with cgroup v2 alone: node e2e/vm/run.ts [FILE…] [-- FLAGS of node --test]. Ends with the tests' exit status.
// Without a file: those of the short form; with --long: all that make sense there. With --systemd: systemd is PID 1, and the files are those of
// e2e/systemd. With --hybrid: the same with v1's controllers beside cgroup2. With --selinux: SELinux instead of AppArmor, and the files are those
// of e2e/selinux. E2E_… variables go into the guest.
import { globSync } from "node:fs";
import { join, relative } from "node:path";
import {
  ensureAppArmorParser,
  ensureContainerd2,
  ensurePackages,
  ensureRecentCriu,
  ensureRecentRunsc,
  ensureSecilc,
} from "../../tools/debian.ts";
import { ensureGuestImage } from "../../tools/guest/image.ts";
import { buildImages, buildRootfs } from "../harness/images.ts";
import { buildSubreaper } from "../harness/subreaper.ts";
import { EngineWatch } from "./engine-watch.ts";
import { runInGuest } from "./machine.ts";

const ROOT = join(import.meta.dirname, "../..");
const MINUTE_MS = 60_000;
const LINUX = "packages/linux/src";
const SHORT = [
  "e2e/v2/cgroup-v2.test.ts",
  `${LINUX}/cgroup/{cgroup,cgroup-v2}.e2e.test.ts`,
  `${LINUX}/launch/{idmap,mounts}.e2e.test.ts`, // another kernel than this machine has: Debian 12's own
];
const SYSTEMD = ["e2e/systemd/{scope,ctr}.test.ts"];
const HYBRID = ["e2e/systemd/hybrid/*.test.ts"];
const SELINUX = ["e2e/selinux/*.test.ts"];
const SYSTEMD_LONG = ["e2e/systemd/*.test.ts"];
const LONG = [
  ...SHORT,
  "e2e/v2/apparmor.test.ts",
  `${LINUX}/{cgroup/device-program,launch/*}.e2e.test.ts`,
  "packages/shim-runc/src/oci/events.e2e.test.ts",
  "e2e/{bad-input,core-scheduling,events,exec,filesystem,lifecycle,process,resources,restart,run,task-server,terminal}.test.ts",
];

const split = process.argv.indexOf("--");
const words = process.argv.slice(2, split < 0 ? undefined : split);
const flags = split < 0 ? [] : process.argv.slice(split + 1);
const FLAGS = ["--long", "--systemd", "--hybrid", "--selinux"];
const isHybrid = words.includes("--hybrid");
const isSystemd = words.includes("--systemd") || isHybrid;
const isSelinux = words.includes("--selinux");
const LIMIT_MS = Number(process.env.E2E_VM_LIMIT_MS ?? (words.includes("--long") ? 90 : 20) * MINUTE_MS);
process.exitCode = await main();

async function main(): Promise<number> {
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.once(signal, () => stop.abort(new Error(`stopped by ${signal}`)));
  const late = setTimeout(() => stop.abort(new Error(`no end after ${LIMIT_MS / 1000} s`)), LIMIT_MS);
  try {
    await prepareHost();
    const argv = [
      process.execPath,
      "e2e/run.ts",
      ...chosenFiles(),
      "--",
      `--test-concurrency=${isSystemd ? 1 : 2}`,
      ...flags,
    ];
    const run = async () => {
      using output = new EngineWatch(process.stdout);
      const task = { argv, env: guestEnvironment(), cwd: ROOT };
      const code = await runInGuest(task, {
        output,
        signal: stop.signal,
        init: isSystemd ? "systemd" : "script",
        cgroups: isHybrid ? "hybrid" : "v2",
        ...(isSelinux ? { securityModule: "selinux" } : isSystemd ? {} : { securityModule: "apparmor" }),
      });
      return { code, engineFailed: code !== 0 && output.hasFailed };
    };
    const first = await run();
    if (!first.engineFailed) return first.code;
    process.stderr.write("e2e/vm: the guest's JavaScript engine has failed, not a test: once more\n");
    return (await run()).code;
  } catch (error) {
    process.stderr.write(`e2e/vm: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  } finally {
    clearTimeout(late);
  }
}

/** What tests build or download is made here, where it is kept and quick; in the guest they find it. */
async function prepareHost(): Promise<void> {
  await ensurePackages();
  await Promise.all([ensureContainerd2(), ensureRecentCriu(), ensureRecentRunsc()]);
  await (isSelinux ? ensureSecilc() : ensureAppArmorParser());
  if (process.arch === "x64") await ensureGuestImage(); // e2e/run.ts wants one
  await Promise.all([buildImages(), buildRootfs(), buildSubreaper()]);
}

function chosenFiles(): string[] {
  const names = words.filter((word) => !FLAGS.includes(word));
  const unknown = names.find((word) => word.startsWith("-"));
  if (unknown !== undefined) throw new Error(`${unknown} is unknown; one of ${FLAGS.join(" ")}?`);
  if (names.length > 0) return names.map((name) => relative(ROOT, name));
  if (isHybrid) return globSync(HYBRID, { cwd: ROOT });
  if (isSelinux) return globSync(SELINUX, { cwd: ROOT });
  const [short, long] = isSystemd ? [SYSTEMD, SYSTEMD_LONG] : [SHORT, LONG];
  const patterns = words.includes("--long") ? long : short;
  return [...new Set(globSync(patterns, { cwd: ROOT }))].sort();
}

function guestEnvironment(): Record<string, string> {
  const passed = Object.entries(process.env).filter(([name]) =>
    /^(E2E_|TRIMARAN_E2E|FORCE_COLOR$|NO_COLOR$)/.test(name),
  );
  return {
    ...Object.fromEntries(passed.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))),
    PATH: `${join(ROOT, "node_modules/.bin")}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    E2E_PATIENCE: process.env.E2E_PATIENCE ?? "5",
    HOME: "/root",
    LANG: "C.UTF-8",
    NODE_COMPILE_CACHE: "/tmp/node-compile-cache", // each process of Node would strip and compile the same files again
  };
}
