import { existsSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { ProgramBuilder } from "@trimaran/linux";
import { criu } from "@trimaran/proto";
import { type ContainerProcess, type MonitoredProcess, newProgram, SLOT } from "@trimaran/shim-core";
import type { CriuPlace, Dump } from "./arguments.ts";
import { placeFd } from "./place-fd.ts";
import { dumpRequest, goOn, type ServiceFds } from "./requests.ts";
import type { CriuRun } from "./run.ts";

const AT_FDCWD = -100;
const O_RDONLY = 0;
const O_WRONLY = 1;
const O_CREAT = 0o100;
const O_TRUNC = 0o1000;
const O_DIRECTORY = 0o200000;
const O_CLOEXEC = 0o2000000;
const S_IFREG = 0o100000;
const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
const EAGAIN = 11;
/** struct msghdr, and where the control data's address and length are in it; struct cmsghdr with one fd behind it. 64-bit. */
const MSGHDR = { bytes: 56, parts: 16, partCount: 24, control: 32, controlLength: 40 } as const;
const CMSG = { bytes: 24, fd: 16 } as const;
/** criu's messages to us are some dozens. */
const MESSAGE_BYTES = 4096;
const BRANCH_EQUAL = 0;
const SYNC_SERVICE = 100;
/** Free for a runtime. */
const SERVICE_SLOT = 22;
const SOCKET_FD = 20;
/** In criu's table, for what it is asked. */
export const SERVICE_FDS: ServiceFds = { images: 21, work: 22 };
const MESSAGE = "service.message";
const ASKED = "service.asked";
const MAX_PAUSE_MS = 16;

/** A stage of criu's, at which it waits for an answer. `pid`: of what is restored, from when there is something. */
export interface Notice {
  readonly script: string;
  readonly pid: number;
}
/** criu's names of stages: everything is there and stands still; and a terminal's other end has come, into SLOT.terminal. */
export const POST_RESTORE = "post-restore";
export const ORPHAN_PTS_MASTER = "orphan-pts-master";

/** Of a run of criu's: criu as the service of one client, by a socket whose other end the monitor gets. */
export function asService(place: CriuPlace): Required<Pick<CriuRun, "args" | "inherited" | "setup">> {
  return {
    args: ["swrk", String(SOCKET_FD)],
    inherited: [SOCKET_FD, SERVICE_FDS.images, SERVICE_FDS.work],
    setup: (builder) => connect(builder, place),
  };
}

/** Steps of the child. The socket is made by it, since criu looks the request's fds up in the table of whoever made it. */
function connect(builder: ProgramBuilder, { images, work }: CriuPlace): void {
  const { data } = builder;
  builder.field = "checkpoint";
  const ends = data.space(8);
  builder.sys("socketpair", [AF_UNIX, SOCK_SEQPACKET | O_CLOEXEC, 0, ends]);
  const [ours, criusOwn] = [builder.register(), builder.register()];
  builder.op("LOAD", [ends.offset, 4], { to: ours });
  builder.op("LOAD", [ends.offset + 4, 4], { to: criusOwn });
  builder.op("SYNC", [SYNC_SERVICE, 0, ours, SERVICE_SLOT, data.string(""), 0], { action: "send the socket" });
  placeFd(builder, criusOwn, SOCKET_FD);
  for (const [fd, path] of [
    [SERVICE_FDS.images, images],
    [SERVICE_FDS.work, work],
  ] as const) {
    const directory = builder.call("openat", [AT_FDCWD, data.string(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0]);
    placeFd(builder, directory, fd);
    builder.release(directory);
  }
  builder.release(ours);
  builder.release(criusOwn);
}

/** Ask a service for a dump. What became of it its exit status says. */
export async function askForDump(
  criu: Pick<MonitoredProcess, "execed" | "run">,
  dump: () => Dump,
  folder: string,
): Promise<void> {
  await criu.execed(); // then its socket is there
  await new CriuService(criu, folder).call(
    () => dumpRequest(dump(), SERVICE_FDS),
    async () => {},
  );
}

/**
 * A conversation with criu's service. The monitor has the socket, and a message is in a file until it has been answered: a task server that comes after
 * another one goes on where that was.
 */
export class CriuService {
  readonly #criu: Pick<ContainerProcess, "run">;
  readonly #asked: string;
  readonly #message: string;

  /** `folder`: of this conversation alone. Exists. */
  constructor(criu: Pick<ContainerProcess, "run">, folder: string) {
    this.#criu = criu;
    this.#asked = `${folder}/${ASKED}`;
    this.#message = `${folder}/${MESSAGE}`;
  }

  /**
   * Ask, and answer each notice once `heed` has resolved; where it has rejected criu takes back what it has done, and that is thrown. Resolves when there is
   * nothing to talk about any more: what became of it criu's exit status says, also where it has ended and does not listen.
   */
  async call(request: () => Uint8Array, heed: (notice: Notice) => Promise<void>): Promise<void> {
    if (!existsSync(this.#asked)) await this.#criu.run(sendProgram(request(), { create: this.#asked }));
    let failure: { readonly error: unknown } | undefined;
    while (await this.#hears()) {
      try {
        const { type, notify } = criu.CriuResp.decode(readFileSync(this.#message));
        if (type !== criu.CriuReqType.NOTIFY || notify === undefined) break; // the last one is no question
        await heed(notify);
      } catch (error) {
        failure ??= { error };
      }
      await this.#criu.run(sendProgram(goOn(failure === undefined), { remove: this.#message }));
    }
    if (failure !== undefined) throw failure.error;
  }

  /** Wait for a message, unless there is one that was not answered. False where criu has ended. */
  async #hears(): Promise<boolean> {
    for (let pauseMs = 1; !existsSync(this.#message); pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS)) {
      const { errno, value } = await this.#criu.run(receiveProgram(this.#message));
      if (errno === EAGAIN) await delay(pauseMs);
      else if (errno !== 0 || value === 0n) return false;
    }
    return true;
  }
}

/** Once: `create` is the file that says that it has been sent, `remove` the one that asks for it. */
function sendProgram(bytes: Uint8Array, once: { readonly create: string } | { readonly remove: string }): Uint8Array {
  const builder = newProgram("checkpoint");
  const { data } = builder;
  if ("create" in once) builder.sys("mknodat", [AT_FDCWD, data.string(once.create), S_IFREG | 0o600, 0]);
  else builder.sys("unlinkat", [AT_FDCWD, data.string(once.remove), 0]);
  const socket = { kind: "slot", index: SERVICE_SLOT } as const;
  builder.sys("sendto", [socket, data.bytes(bytes), bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0]);
  return builder.build().bytes;
}

/** A message into a file, an fd that comes with it into SLOT.terminal. Its result is the message's length, 0 at the end. */
function receiveProgram(path: string): Uint8Array {
  const builder = newProgram("checkpoint");
  const { data } = builder;
  const length = builder.register(); // register 0: what RUN answers
  const buffer = data.space(MESSAGE_BYTES);
  const part = data.words([0, MESSAGE_BYTES]);
  data.point(part, buffer);
  const control = data.space(CMSG.bytes);
  const message = data.space(MSGHDR.bytes);
  const at = (offset: number) => ({ kind: "data", offset: message.offset + offset }) as const;
  data.point(at(MSGHDR.parts), part);
  data.setWord(at(MSGHDR.partCount), 1n);
  data.point(at(MSGHDR.control), control);
  data.setWord(at(MSGHDR.controlLength), BigInt(CMSG.bytes));
  const socket = { kind: "slot", index: SERVICE_SLOT } as const;
  builder.sys("recvmsg", [socket, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC], { to: length });
  const ended = builder.op("BRANCH", [length, BRANCH_EQUAL, 0]);
  const file = builder.call("openat", [AT_FDCWD, data.string(path), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600]);
  builder.sys("write", [file, buffer, length]);
  builder.sys("close", [file]);
  const controlLength = builder.register();
  builder.op("LOAD", [at(MSGHDR.controlLength).offset, 8], { to: controlLength });
  const without = builder.op("BRANCH", [controlLength, BRANCH_EQUAL, 0]);
  const fd = builder.register();
  builder.op("LOAD", [control.offset + CMSG.fd, 4], { to: fd });
  builder.op("KEEP", [fd, SLOT.terminal]);
  builder.skipOnSuccess(without);
  builder.skipOnSuccess(ended);
  return builder.build().bytes;
}
