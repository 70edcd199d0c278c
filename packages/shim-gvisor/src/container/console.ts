import {
  type Data,
  describeFailure,
  type Program,
  type ProgramBuilder,
  type Register,
  SYNC_CODE,
} from "@trimaran/linux";
import { type Host, type MonitoredProcess, newProgram, SLOT, type StdioLaunch } from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";

// asm-generic: fcntl.h, socket.h, un.h
const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const MSG_CMSG_CLOEXEC = 0x40000000;
const CLONE_ARGS_BYTES = 88;
const AT_FDCWD = -100;
/** struct cmsghdr on 64 bits: u64 length, i32 level, i32 type; then the fd. */
const CMSG_FD = 16;
const CMSG_BYTES = 24;
/** A message without a descriptor leaves -1 there, which LOAD takes as a failure. */
const NO_FD = Buffer.alloc(CMSG_BYTES, 0xff);
/** runsc sends the terminal's path along. */
const PATH_BYTES = 4096;
const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9;
/** CLOSE's mark of a register. Source: packages/monitor/PROTOCOL.md, section 5. */
const REGISTER = 0x80000000;

/** Below the work folder, which is the directory of both sides: sockets take no long path. */
export const CONSOLE_SOCKET = "console.sock";

/**
 * Receive a terminal from `runsc create --console-socket`: runsc makes the pty, because its other end has to be the sandbox's own
 * controlling terminal. A child of the monitor listens, takes the master, hands it over, and is done; the container's stdio is in its slots.
 * Resolves once it listens. Throws what failed.
 */
export async function receiveConsole(
  host: Host,
  key: string,
  stdio: StdioLaunch,
  work: string,
): Promise<MonitoredProcess> {
  const process = launchReceiver(host, key, stdio, work);
  await process.reachedGate();
  process.openGate();
  return process;
}

/** The same process, after a restart of the task server. */
export function launchReceiver(host: Host, key: string, stdio: StdioLaunch, work: string): MonitoredProcess {
  const program = receiverProgram(stdio, work);
  return host.launch(key, {
    program: program.bytes,
    stdio,
    describe: (step, errno) => new StatusError(Code.Unknown, describeFailure(program, step, errno)),
    onSync: () => 0n, // the monitor has put the terminal into its slot
  });
}

function receiverProgram({ plan }: StdioLaunch, work: string): Program {
  const builder = newProgram("process.terminal");
  const { data } = builder;
  plan.prelude(builder);
  builder.field = "process.terminal";
  builder.op("CLONE", [data.space(CLONE_ARGS_BYTES), 0, 0]);
  builder.sys("setsid", []);
  builder.op("CWD", [data.string(work)]);
  const name = data.string(CONSOLE_SOCKET);
  builder.sys("unlinkat", [AT_FDCWD, name, 0], { tolerate: ["ENOENT"] });
  const address = Buffer.alloc(2 + CONSOLE_SOCKET.length + 1);
  address.writeUInt16LE(AF_UNIX, 0);
  address.write(CONSOLE_SOCKET, 2);
  const listener = builder.call("socket", [AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0]);
  builder.sys("umask", [0o177]);
  builder.sys("bind", [listener, data.bytes(address), address.length]);
  builder.sys("listen", [listener, 1]);
  builder.op("CLOSE", [data.halves([(listener.index | REGISTER) >>> 0]), 1]);
  builder.sys("prctl", [PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0]); // it never execs, so nothing else would end it with the monitor
  builder.op("GATE", []);
  const connection = builder.call("accept4", [listener, 0, 0, SOCK_CLOEXEC]);
  builder.sys("unlinkat", [AT_FDCWD, name, 0], { tolerate: ["ENOENT"] });
  const control = receiveMessage(builder, connection);
  const master = builder.register();
  builder.op("LOAD", [control.offset + CMSG_FD, 4], { to: master, action: "receive the terminal" });
  builder.op("SYNC", [SYNC_CODE.CONSOLE, 0, master, SLOT.terminal, data.string(""), 0]);
  return builder.build();
}

/** One recvmsg; gives the place of the control message. Source: recvmsg(2), cmsg(3). */
function receiveMessage(builder: ProgramBuilder, connection: Register): Data {
  const { data } = builder;
  const name = data.space(PATH_BYTES);
  const vector = data.words([0, PATH_BYTES]);
  data.point(vector, name);
  const control = data.bytes(NO_FD);
  const message = data.words([0, 0, 0, 1, 0, CMSG_BYTES, 0]); // name, its length, iov, iovlen, control, controllen, flags
  data.point({ kind: "data", offset: message.offset + 16 }, vector);
  data.point({ kind: "data", offset: message.offset + 32 }, control);
  builder.sys("recvmsg", [connection, message, MSG_CMSG_CLOEXEC]);
  return control;
}
