import assert from "node:assert/strict";
import { test } from "node:test";
import { SYSCALL, type SyscallName } from "../syscall/numbers.ts";
import { SECCOMP_SET_MODE_FILTER } from "./constants.ts";
import type { ProgramBuilder } from "./program.ts";
import { defaultSpec } from "./testing/default-spec.ts";
import { type Outcome, TestPod } from "./testing/pod.ts";

const ENOSYS = 38;

/** struct sock_filter[]: these calls are ENOSYS, all others are allowed. The architecture is our own, so it is not looked at. */
function without(numbers: readonly number[]): Buffer {
  const steps: [code: number, yes: number, no: number, value: number][] = [
    [0x20, 0, 0, 0], // load the call's number
    ...numbers.map((nr, i): [number, number, number, number] => [0x15, numbers.length - i, 0, nr]),
    [0x06, 0, 0, 0x7fff0000],
    [0x06, 0, 0, 0x00050000 | ENOSYS],
  ];
  const bytes = Buffer.alloc(steps.length * 8);
  steps.forEach(([code, yes, no, value], i) => {
    bytes.writeUInt16LE(code, i * 8);
    bytes[i * 8 + 2] = yes;
    bytes[i * 8 + 3] = no;
    bytes.writeUInt32LE(value, i * 8 + 4);
  });
  return bytes;
}

/** Run a container under a monitor, made for it, that has lost these system calls. */
async function run(
  calls: readonly SyscallName[],
  change: (config: ReturnType<typeof defaultSpec>) => unknown = () => {},
): Promise<Outcome> {
  await using pod = await TestPod.open();
  const filter = without(calls.map((name) => SYSCALL[pod.host.architecture][name]));
  const config = defaultSpec(["sh", "-c", "echo ran"]);
  change(config);
  const prelude = (b: ProgramBuilder) => {
    const program = b.data.space(16);
    b.data.write(program, Uint8Array.of(filter.length / 8));
    b.data.point({ kind: "data", offset: program.offset + 8 }, b.data.bytes(filter));
    b.sys("seccomp", [SECCOMP_SET_MODE_FILTER, 0, program]);
  };
  return await (await pod.create(config, { prelude })).end();
}

const hook = (kind: string) => (config: object) =>
  Object.assign(config, { hooks: { [kind]: [{ path: "/bin/true", timeout: 5 }] } });
const linux = (change: object) => (config: ReturnType<typeof defaultSpec>) => Object.assign(config.linux, change);
const bind = (config: ReturnType<typeof defaultSpec>) =>
  config.mounts.push({ destination: "/data", type: "bind", source: "/etc", options: ["ro"] });

/** What an error says of a missing call. */
const MISSING = "the kernel has no such call, or a seccomp filter around us hides it";
const missing = (field: string, call: string) => `${field}: ${MISSING} (ENOSYS from ${call})`;

/** Calls without which there is no container: what is missing is said, by whoever needs it first, and nothing has run. */
const NEEDED = {
  openat2: missing('root.path "rootfs"', "open rootfs"),
  clone3: missing("process", "clone3"),
  open_tree: missing('root.path "rootfs"', "open_tree"),
  move_mount: missing("root", "attach rootfs"),
  fsopen: missing("linux.maskedPaths", "fsopen"),
  fsmount: missing("linux.maskedPaths", "fsmount"),
  fsconfig: missing("linux.maskedPaths", "fsconfig source"),
  close_range: missing("stdio", "close_range"),
  statx: missing("linux.maskedPaths", "device type"),
  pivot_root: missing("root", "pivot_root"),
  faccessat2: 'process.args[0] "sh": exec: "sh": ENOSYS',
  capset: missing("process.capabilities", "capset"),
  prctl: missing("process.noNewPrivileges", "prctl"),
} as const satisfies Partial<Record<SyscallName, string>>;

for (const [call, message] of Object.entries(NEEDED))
  test(`a kernel without ${call}: an error, and nothing has run`, async () => {
    const { failure, stdout } = await run([call as SyscallName]);
    assert.deepEqual([failure, stdout], [message, ""]);
  });

/** Calls that a default container can do without, all at once; those of fields are below. */
const OPTIONAL: readonly SyscallName[] = [
  "fchmodat2",
  "pidfd_open",
  "pidfd_getfd",
  "memfd_create",
  "statmount",
  "listmount",
];

test(`a kernel without ${OPTIONAL.join(", ")}, and without keyrings: the container runs`, async () => {
  const outcome = await run([...OPTIONAL, "keyctl", "open_tree_attr", "set_mempolicy", "sched_setattr", "ioprio_set"]);
  assert.deepEqual([outcome.failure, outcome.stdout], [undefined, "ran\n"]);
});

for (const [call, change, message] of [
  [
    "set_mempolicy",
    linux({ memoryPolicy: { mode: "MPOL_LOCAL" } }),
    /^linux\.memoryPolicy: the kernel has no memory policies \(ENOSYS/,
  ],
  [
    "memfd_create",
    hook("createContainer"),
    /^hooks\.createContainer\[0\] "\/bin\/true": .*\(ENOSYS from memfd_create\)$/,
  ],
  ["pidfd_open", hook("startContainer"), /^hooks\.startContainer\[0\] "\/bin\/true": .*\(ENOSYS from pidfd_open\)$/],
  ["mount_setattr", bind, /^[^:]+: .*ENOSYS from (mount_setattr|make \/ rslave)/],
  [
    "sched_setattr",
    (config: object) =>
      Object.assign((config as { process: object }).process, { scheduler: { policy: "SCHED_BATCH" } }),
    /^process\.scheduler: .*\(ENOSYS from sched_setattr\)$/,
  ],
  [
    "ioprio_set",
    (config: object) =>
      Object.assign((config as { process: object }).process, { ioPriority: { class: "IOPRIO_CLASS_IDLE" } }),
    /^process\.ioPriority: .*\(ENOSYS from ioprio_set\)$/,
  ],
] as const) {
  test(`a kernel without ${call}: an error that names the field, and only where it is asked for`, async () => {
    const { failure, stdout } = await run([call], change);
    assert.match(failure ?? "", message);
    assert.equal(stdout, "");
    if (call !== "mount_setattr") assert.equal((await run([call])).failure, undefined);
  });
}
