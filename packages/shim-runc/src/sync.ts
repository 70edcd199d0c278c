import { writeFileSync } from "node:fs";
import {
  errnoName,
  type HookSubject,
  hookState,
  moveDevices,
  PROGRAM_SLOT,
  ProgramBuilder,
  parseSeccompListener,
  readDevices,
  type Spec,
  SYNC_CODE,
  sendFd,
  toArchitecture,
} from "@trimaran/linux";
import type { SyncRequest } from "@trimaran/shim-core";
import { runHooks } from "./hooks.ts";

/** The process that asks: its pid, and programs that run beside it, on its slots. */
export interface Asker {
  readonly pid: number;
  run(program: Uint8Array): Promise<{ readonly errno: number }>;
}

/** Whose process it is. */
export interface SyncSubject extends HookSubject {
  readonly spec: Spec;
}

/** Answer what a process asks for while it sets itself up. Throws what the kernel, a hook or a listener refused. */
export async function answerSync(sync: SyncRequest, asker: Asker, subject: SyncSubject): Promise<bigint> {
  const { spec } = subject;
  switch (sync.code) {
    case SYNC_CODE.MAPPED:
      writeMaps(asker.pid, spec);
      return 0n;
    case SYNC_CODE.TIMES: // of a trace that nobody follows any more: another task server compiled the program
    case SYNC_CODE.CONSOLE:
      return 0n; // the monitor has put the master into its slot
    case SYNC_CODE.HOOKS: {
      const state = hookState(subject, "creating", asker.pid);
      await runHooks([...spec.hooks.prestart, ...spec.hooks.createRuntime], state, subject.bundle);
      return 0n;
    }
    case SYNC_CODE.HOOK_FAILED:
      throw new Error(hookFailure(sync));
    case SYNC_CODE.NETWORK:
      await takeInterfaces(asker, subject);
      return 0n;
    case SYNC_CODE.LISTENER:
      await sendListener(asker, subject);
      return 0n;
    default:
      throw new Error(`the launch program asked for ${sync.code}, which is unknown`);
  }
}

/** What a hook inside the container came to: its status, and what it wrote. */
function hookFailure({ value, data }: SyncRequest): string {
  const status = Number(value);
  const end = data.indexOf(0);
  const [name, ...output] = Buffer.from(data.subarray(0, end < 0 ? data.length : end))
    .toString()
    .split("\n");
  const how =
    (status & 0x7f) === 0 ? `exited with status ${(status >> 8) & 0xff}` : `was killed by signal ${status & 0x7f}`;
  const text = output.join("\n").trim();
  return `${name}: ${how}${text === "" ? "" : `: ${text}`}`;
}

/**
 * Found again, not remembered: this may be another task server than the one that compiled the program. What is not there was moved before; if it
 * was not, the program will not find it in the container either, and say so.
 */
async function takeInterfaces(asker: Asker, { spec }: SyncSubject): Promise<void> {
  const b = new ProgramBuilder(toArchitecture(process.arch));
  moveDevices(b, readDevices(spec.linux.netDevices, "skip"), asker.pid);
  const { errno } = await asker.run(b.build().bytes);
  if (errno !== 0) throw new Error(`linux.netDevices: an interface cannot be moved (${errnoName(errno)})`);
}

/** Source: runtime-spec, config-linux.md, "The Container Process State". */
async function sendListener(asker: Asker, subject: SyncSubject): Promise<void> {
  const listener = parseSeccompListener(subject.spec.linux.seccomp);
  if (listener === undefined) throw new Error("linux.seccomp.listenerPath: missing");
  const { ociVersion } = subject.spec;
  const state: unknown = JSON.parse(hookState(subject, "creating", asker.pid));
  const { path, metadata } = listener;
  const message = { ociVersion, fds: ["seccompFd"], pid: asker.pid, ...(metadata === "" ? {} : { metadata }), state };
  const b = new ProgramBuilder(toArchitecture(process.arch));
  sendFd(b, PROGRAM_SLOT.listener, path, JSON.stringify(message));
  b.op("DROP", [PROGRAM_SLOT.listener]);
  const { errno } = await asker.run(b.build().bytes);
  if (errno !== 0)
    throw new Error(`linux.seccomp.listenerPath ${JSON.stringify(path)}: cannot be reached (${errnoName(errno)})`);
}

/** One write each: the kernel takes a map once, and whole. Source: user_namespaces(7). */
function writeMaps(pid: number, { linux }: Spec): void {
  for (const [file, field, mappings] of [
    ["uid_map", "linux.uidMappings", linux.uidMappings],
    ["gid_map", "linux.gidMappings", linux.gidMappings],
  ] as const) {
    const lines = mappings.map(({ containerId, hostId, size }) => `${containerId} ${hostId} ${size}\n`);
    try {
      writeFileSync(`/proc/${pid}/${file}`, lines.join(""));
    } catch (error) {
      throw new Error(`${field}: refused (${error instanceof Error ? error.message : error})`, { cause: error });
    }
  }
}
