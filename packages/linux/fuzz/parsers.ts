import { CgroupError } from "../src/cgroup/error.ts";
import { planCgroup } from "../src/cgroup/plan.ts";
import { readHostFeatures } from "../src/launch/host.ts";
import { compileInit } from "../src/launch/init.ts";
import type { InitPlan } from "../src/launch/plan.ts";
import { defaultSpec } from "../src/launch/testing/default-spec.ts";
import { parseMountOptions } from "../src/mount/options.ts";
import { parseCacheFile } from "../src/seccomp/cache.ts";
import { SeccompError } from "../src/seccomp/profile.ts";
import { parseRules } from "../src/seccomp/rules.ts";
import { InvalidSpec } from "../src/spec/invalid-spec.ts";
import { parseResources } from "../src/spec/resources.ts";
import { parseSeccomp, parseSeccompListener } from "../src/spec/seccomp.ts";
import { parseExecProcess, parseSpec } from "../src/spec/spec.ts";
import { everything } from "../src/spec/testing/everything.ts";

const host = readHostFeatures();
const stdio: InitPlan["stdio"] = { kind: "slots", stdin: 0, stdout: 1, stderr: 2, prelude: () => undefined };
const cgroups = {
  mode: "v1",
  hierarchies: [{ controllers: ["pids"], mountPoint: "/c/pids", ownPath: "/own" }],
} as const;
const isInvalid = (error: unknown) => error instanceof InvalidSpec;

/** What is accepted must compile, or be refused with the field; the program must fit the format. */
function compile(input: Buffer): void {
  const spec = parseSpec(input);
  parseResources(spec.linux.resources);
  parseSeccompListener(spec.linux.seccomp);
  const plan = {
    id: "fuzz",
    spec,
    bundle: "/bundle",
    rootfs: [],
    host,
    stdio,
    cgroup: { attachFiles: [], ownDirs: [] },
  };
  compileInit(plan);
}

/** A path in a plan is below its mount, whatever was asked for. */
function cgroupPath(input: Buffer): void {
  const { hierarchies } = planCgroup(cgroups as never, input.toString(), "id");
  for (const { directory } of hierarchies)
    if (!directory.startsWith("/c/pids/") || directory.split("/").includes("..")) throw new Error(directory);
}

const PROFILE = {
  defaultAction: "SCMP_ACT_ERRNO",
  architectures: ["SCMP_ARCH_X86_64"],
  syscalls: [
    {
      names: ["read", "clone"],
      action: "SCMP_ACT_ALLOW",
      args: [{ index: 0, value: 2114060288, op: "SCMP_CMP_MASKED_EQ" }],
    },
  ],
};

/** Everything here that reads what an image, a caller or a file brings. */
export const parsers = [
  {
    name: "config.json",
    seeds: [JSON.stringify(defaultSpec(["true"])), JSON.stringify(everything())],
    run: compile,
    expects: isInvalid,
  },
  {
    name: "exec-process",
    seeds: [JSON.stringify(defaultSpec(["true"]).process)],
    run: parseExecProcess,
    expects: isInvalid,
  },
  {
    name: "mount-options",
    seeds: ["rbind,ro,nosuid,rslave", "size=64k,mode=700,idmap=uids=0-1-1;gids=0-1-1", "lowerdir=/a:/b,upperdir=/c"],
    run: (input: Buffer) => parseMountOptions(input.toString().split(","), () => "mounts[0]"),
    expects: isInvalid,
  },
  {
    name: "seccomp",
    seeds: [JSON.stringify(PROFILE)],
    run: (input: Buffer) => {
      const profile = parseSeccomp(JSON.parse(input.toString()));
      if (profile !== undefined) parseRules(profile);
    },
    expects: (error: unknown) => isInvalid(error) || error instanceof SeccompError || error instanceof SyntaxError,
  },
  {
    name: "seccomp-cache",
    seeds: [new Uint8Array(64)],
    run: (input: Buffer) => parseCacheFile(input),
    expects: () => false,
  },
  {
    name: "cgroup-path",
    seeds: ["/a/b", "a/../b", "/../x"],
    run: cgroupPath,
    expects: (error: unknown) => error instanceof CgroupError,
  },
];
