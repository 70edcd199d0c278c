import type { Hook } from "../spec/hooks.ts";
import type { Spec } from "../spec/spec.ts";
import { runChild } from "./child.ts";
import { AT, CLOSE_RANGE_CLOEXEC, MFD_CLOEXEC } from "./constants.ts";
import { AS, BRANCH, SYNC_CODE } from "./opcodes.ts";
import type { Data, ProgramBuilder, Register } from "./program.ts";

/** The container that a hook is told of. */
export interface HookSubject {
  readonly id: string;
  readonly bundle: string;
  readonly spec: Pick<Spec, "ociVersion" | "annotations">;
}

/** `status` of the OCI state. */
export type HookStatus = "creating" | "created" | "running" | "stopped";

/** The OCI state as hooks get it on stdin. Without a pid there is none. Source: runtime-spec, runtime.md "State". */
export function hookState({ id, bundle, spec }: HookSubject, status: HookStatus, pid: number | undefined): string {
  const annotations = spec.annotations.size === 0 ? {} : { annotations: Object.fromEntries(spec.annotations) };
  const process = pid === undefined ? {} : { pid };
  return JSON.stringify({ ociVersion: spec.ociVersion, id, status, ...process, bundle, ...annotations });
}

/** True if something runs between the mounts and the pivot, with the host's files still in sight. */
export function hasHooksBeforePivot({ hooks }: Spec): boolean {
  return hooks.prestart.length + hooks.createRuntime.length + hooks.createContainer.length > 0;
}

/** After the mounts, before the pivot: those of the runtime's namespaces, by whoever answers SYNC, then the container's own. */
export function runHooksBeforePivot(b: ProgramBuilder, spec: Spec, subject: HookSubject): void {
  const { prestart, createRuntime, createContainer } = spec.hooks;
  if (prestart.length + createRuntime.length > 0) {
    b.field = "hooks";
    b.op("SYNC", [SYNC_CODE.HOOKS, 0, -1, 255, b.data.string(""), 0], { action: "run hooks" });
  }
  runContainerHooks(b, createContainer, subject, "creating", subject.bundle);
}

const OUTPUT_SIZE = 1024;

/**
 * Hooks in the container's namespaces, one after another, as children of the process that becomes its init: state on stdin, nothing of ours
 * but a file for what they write, whose beginning is told with a failure. Files, not pipes: a hook that leaves a child behind cannot hold us up.
 */
export function runContainerHooks(
  b: ProgramBuilder,
  hooks: readonly Hook[],
  subject: HookSubject,
  status: HookStatus,
  cwd: string,
): void {
  for (const hook of hooks) {
    b.field = hook.field;
    const input = stateFile(b, subject, status);
    const output = b.call("memfd_create", [b.data.string("hook output"), MFD_CLOEXEC]);
    runChild(b, {
      timeoutMs: hook.timeoutMs,
      run: () => becomeHook(b, hook, cwd, input, output),
      failed: (wait) => tellFailure(b, output, wait),
    });
    for (const fd of [input, output]) {
      b.sys("close", [fd]);
      b.release(fd);
    }
  }
}

/** The state in a file, the place of the pid filled in as our own namespace has it: JSON allows the blanks after it. */
function stateFile(b: ProgramBuilder, subject: HookSubject, status: HookStatus): Register {
  const blank = " ".repeat(11);
  const marker = '"pid":-1';
  const text = hookState(subject, status, -1);
  const at = text.indexOf(marker);
  const [before, after] = [text.slice(0, at + marker.length - 2), text.slice(at + marker.length)];
  const bytes = Buffer.from(`${before}${blank}${after}`);
  const state = b.data.bytes(bytes);
  const pid = b.call("getpid", []);
  b.op("STORE", [pid, state.offset + Buffer.byteLength(before), AS.decimal], { action: "pid" });
  b.release(pid);
  const file = b.call("memfd_create", [b.data.string("hook state"), MFD_CLOEXEC]);
  b.sys("write", [file, state, bytes.length]);
  b.sys("lseek", [file, 0, 0]);
  return file;
}

function becomeHook(b: ProgramBuilder, hook: Hook, cwd: string, input: Register, output: Register): void {
  b.sys("setpgid", [0, 0]);
  b.sys("dup3", [input, 0, 0]);
  b.sys("dup3", [output, 1, 0]);
  b.sys("dup3", [output, 2, 0]);
  b.sys("close_range", [3, 0xffff_ffff, CLOSE_RANGE_CLOEXEC], { tolerate: ["ENOSYS", "EINVAL"] }); // all of ours are so anyway
  b.sys("umask", [0o022]);
  b.sys("chdir", [b.data.string(cwd)], { tolerate: ["EACCES"] }); // the bundle may be out of reach for a user namespace's root
  b.sys("execveat", [AT.FDCWD, b.data.string(hook.path), pointers(b, hook.args), pointers(b, hook.env), 0], {
    action: "execve",
  });
}

function pointers(b: ProgramBuilder, texts: readonly string[]): Data {
  return b.data.pointers(texts.map((text) => b.data.string(text)));
}

const STEP_FAILED = 0xff00; // the child's own status when one of our steps failed in it: that failure is the message

/** Best effort: after the gate nobody may be there to be told. A line with the hook's name, then what it wrote. */
function tellFailure(b: ProgramBuilder, output: Register, status: Register): void {
  const known = b.op("BRANCH", [status, BRANCH.equal, STEP_FAILED], { action: "a step failed" });
  const name = Buffer.from(`${b.field}\n`).subarray(0, OUTPUT_SIZE);
  const text = b.data.space(name.length + OUTPUT_SIZE);
  b.data.write(text, name);
  const rest = { kind: "data", offset: text.offset + name.length } as const;
  b.sys("pread64", [output, rest, OUTPUT_SIZE, 0], { tolerate: "any" });
  const args = [SYNC_CODE.HOOK_FAILED, status, -1, 255, text, name.length + OUTPUT_SIZE];
  b.op("SYNC", args, { tolerate: "any", action: "tell output" });
  b.skipOnSuccess(known);
}
