import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type CgroupStats, InvalidSpec } from "@trimaran/linux";
import { ANY, runtimeoptions } from "@trimaran/proto";
import { StatusError } from "ttrpc-ts";
import { parseConfig } from "../src/config/config.ts";
import { runscFlags } from "../src/config/flags.ts";
import { membershipOf } from "../src/container/membership.ts";
import { adaptVolumes, type VolumeSpec } from "../src/container/pod-volumes.ts";
import { rewriteVolumes } from "../src/container/rewrite-spec.ts";
import { readSpec } from "../src/container/spec.ts";
import { parseEventStats } from "../src/container/stats.ts";
import { parseFlags } from "../src/runsc/binary.ts";
import { failureReason } from "../src/runsc/reason.ts";

const isStatus = (error: unknown) => error instanceof StatusError;
const isInvalid = (error: unknown) => error instanceof InvalidSpec;

const bundle = mkdtempSync(join(tmpdir(), "fuzz-gvisor-"));
mkdirSync(join(bundle, "c/volumes/kubernetes.io~empty-dir/data"), { recursive: true });
process.on("exit", () => rmSync(bundle, { recursive: true, force: true }));

const POD = {
  "io.kubernetes.cri.container-type": "container",
  "io.kubernetes.cri.sandbox-id": "pod",
  "io.kubernetes.cri.sandbox-log-directory": "/var/log/pods/default_web_0a-1b",
  "dev.gvisor.spec.mount.data.type": "bind",
};
const SPEC = {
  ociVersion: "1.0.2",
  annotations: POD,
  root: { path: "rootfs" },
  process: { terminal: false, args: ["sh"] },
  mounts: [
    { destination: "/dev/shm", type: "bind", source: "/run/shm", options: ["rbind", "rw"] },
    { destination: "/data", type: "bind", source: "/var/lib/kubelet/pods/u/volumes/k/data", options: ["bind"] },
  ],
  hooks: { poststop: [{ path: "/bin/true" }] },
  linux: {
    cgroupsPath: "/a/b",
    namespaces: [{ type: "network", path: "/n" }],
    resources: { memory: { limit: 1024 } },
  },
};

/** The shim reads what it needs, tells whose container it is, and writes the spec anew: the parts that are not its own stay. */
function spec(input: Buffer): void {
  writeFileSync(join(bundle, "config.json"), input);
  const membership = membershipOf(readSpec(bundle));
  if (membership.kind === "member" && /[/\0\n]/.test(membership.sandboxId)) throw new TypeError(membership.sandboxId);
  for (const kind of ["first", "member"] as const) rewriteVolumes(bundle, kind);
}

/** What the file says becomes flags of runsc, each a word of its own, and none of those that are the shim's. */
function config(input: Buffer): void {
  const value = runtimeoptions.v1.Options.encode({ configBody: input });
  const parsed = parseConfig([{ typeUrl: ANY.runtimeOptions, value }], []);
  for (const word of runscFlags(parsed, "id"))
    if (!/^--[A-Za-z][A-Za-z0-9_-]*=/.test(word) || /^--(root|log|log-fd|log-format|version)=/.test(word))
      throw new TypeError(word);
}

/** Hints are completed with paths of the pod's own volumes only. */
function volumes(input: Buffer): void {
  const [log = "", name = "", source = ""] = input.toString().split("\0");
  const annotations = {
    "io.kubernetes.cri.sandbox-log-directory": log,
    [`dev.gvisor.spec.mount.${name}.type`]: "bind",
  };
  const spec: VolumeSpec = { annotations, mounts: [{ destination: "/x", type: "bind", source, options: ["rbind"] }] };
  for (const kind of ["first", "member"] as const) adaptVolumes(spec, kind, bundle);
  const found = Object.entries(spec.annotations ?? {}).filter(([key]) => key.endsWith(".source"));
  for (const [, path] of found) if (!path.startsWith(`${bundle}/`) || path.includes("/../")) throw new TypeError(path);
}

const stats = {
  version: 1,
  metrics: { cpu: { usage: {} }, memory: { usage: {} }, pids: {} },
} as unknown as CgroupStats;

/** Everything here that reads what a caller, an operator's file or runsc's output brings: runsc repeats words of the container's. */
export const parsers = [
  {
    name: "gvisor-config",
    seeds: [
      'binary_name = "runsc"\nroot = "/run/x"\nio_uid = 5\n[runsc_config]\nplatform = "ptrace"\ndebug-log = "/l/%ID%"\n',
      'log_level = "debug"\nshim_cgroup = "/x"\n[runsc_config]\nnet-raw = true\nnum-network-channels = 2\n',
    ],
    run: config,
    expects: isStatus,
  },
  {
    name: "gvisor-spec",
    seeds: [JSON.stringify(SPEC), JSON.stringify({ ...SPEC, annotations: {} })],
    run: spec,
    expects: isInvalid,
  },
  { name: "gvisor-volumes", seeds: ["/var/log/pods/a_b_c\0data\0/x", "c\0data\0"], run: volumes, expects: isInvalid },
  {
    name: "runsc-reason",
    seeds: [
      '{"level":"warning","msg":"a"}\n{"level":"error","msg":"no\\nsuch {\\"file\\"}"}{"level":"fatal","msg":"end"}\0flag: -x\n',
      "\0 \nrunsc: what\n",
    ],
    run: (input: Buffer) => {
      const [log = "", stderr = ""] = input.toString().split("\0");
      if (/\n/.test(failureReason(log, stderr) ?? "")) throw new TypeError("more than a line");
    },
    expects: () => false,
  },
  {
    name: "runsc-flags",
    seeds: [
      '  -alsologtostderr\n    \tsend logs\n  -cpu-num-from-quota\n  -debug-log string\n    \tpath (default "x")\n',
    ],
    run: (input: Buffer) => parseFlags(input.toString()),
    expects: () => false,
  },
  {
    name: "runsc-events",
    seeds: [
      '{"type":"stats","id":"a","data":{"cpu":{"usage":{"total":7}},"memory":{"usage":{"usage":9}},"pids":{"current":2}}}',
    ],
    run: (input: Buffer) => parseEventStats(input.toString(), stats),
    expects: isStatus,
  },
];
