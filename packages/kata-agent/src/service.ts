import { release } from "node:os";
import { type agentV1, fromTimestamp, GO_ZERO_TIME, type trimaran } from "@trimaran/proto";
import type { Connection, LocalPod } from "@trimaran/shim-core";
import { Code, type Implementation, StatusError } from "ttrpc-ts";
import type { Guest } from "./guest/guest.ts";
import type { LogBuffer } from "./log-buffer.ts";
import type { OomNews } from "./oom.ts";
import type { Containers } from "./processes/containers.ts";

/** Version of the protocol. */
export const PROTOCOL_VERSION = 2;
/** A frame has 4 MiB; one stream must not hold the others up for long. */
const READ_LIMIT_BYTES = 256 * 1024;

/** What the service is made of. */
export interface AgentParts {
  readonly version: string;
  readonly pod: LocalPod;
  readonly containers: Containers;
  readonly oom: OomNews;
  readonly log: LogBuffer;
  readonly guest: Guest;
}

/** The agent's own methods. Source: proto/trimaran/agent.proto. */
export function agentService(parts: AgentParts): Implementation<typeof agentV1, Connection> {
  const { containers, pod, guest, log } = parts;
  return {
    hello({ version }) {
      if (version !== PROTOCOL_VERSION)
        throw new StatusError(
          Code.FailedPrecondition,
          `version ${version}: this agent speaks ${PROTOCOL_VERSION}; its image is to be rebuilt`,
        );
      return { version: PROTOCOL_VERSION, agentVersion: parts.version, kernel: release() };
    },
    async refresh(request) {
      await guest.refresh(request);
      return {};
    },
    async mountShare({ target, ahead }) {
      await guest.mountShare(target, ahead);
      return {};
    },
    async forgetFiles({ path }) {
      await guest.forgetFiles(path);
      return {};
    },
    async configureNetwork(request) {
      await guest.configureNetwork(request);
      return {};
    },
    findDisk: ({ lun }) => guest.findDisk(lun),
    createContainer: async (request) => ({ pid: await containers.create(request) }),
    addExec: async (request) => ({ pid: await containers.addExec(request) }),
    startProcess: async (name) => ({ pid: await containers.process(name).start() }),
    async signalProcess({ id, execId, signal, all, once }) {
      await containers.signal({ id, execId }, signal, all, once);
      return {};
    },
    inspectProcess(name) {
      const { pid, stdin, stdout, stderr, isStarted } = containers.process(name);
      return {
        pid,
        stdinOffset: stdin?.offset ?? 0,
        stdinClosed: stdin?.isClosed ?? true,
        stdoutOffset: stdout?.offset ?? 0,
        stderrOffset: stderr?.offset ?? 0,
        started: isStarted,
        oomKills: oomKills(parts, name.id),
      };
    },
    async waitProcess(name, { signal }) {
      const { stdout, stderr } = containers.process(name);
      const { exitStatus, exitedAt } = await pod.call((tasks) => tasks.wait({ ...name }, { signal }));
      const exitedAtNs = exitedAt ? fromTimestamp(exitedAt) : GO_ZERO_TIME;
      return {
        exitStatus,
        exitedAtNs: exitedAtNs < 0n ? 0n : exitedAtNs,
        oomKills: oomKills(parts, name.id),
        stdoutOffset: stdout?.reached ?? 0,
        stderrOffset: stderr?.reached ?? 0,
      };
    },
    async deleteProcess(name) {
      await containers.remove(name);
      if (name.execId === "") await guest.flush(); // its files may be taken away next, and so may this machine
      return {};
    },
    async flush() {
      await guest.flush();
      return {};
    },
    async readOutput({ id, execId, stream, offset, maxBytes }, { signal }) {
      const { stdout, stderr } = containers.process({ id, execId });
      const from = stream === 1 ? stdout : stream === 2 ? stderr : undefined;
      if (!from) throw new StatusError(Code.InvalidArgument, `stream ${stream}: not asked for`);
      return await from.read(Number(offset), Math.min(maxBytes, READ_LIMIT_BYTES), signal);
    },
    async writeInput({ id, execId, offset, data, end }) {
      const { stdin } = containers.process({ id, execId });
      if (!stdin) throw new StatusError(Code.InvalidArgument, "stdin: not asked for");
      await stdin.write(Number(offset), data, end);
      return { offset: stdin.offset, closed: stdin.isClosed };
    },
    async waitOom({ id, known }, { signal }) {
      for (;;) {
        const kills = oomKills(parts, id);
        if (kills > known) return { kills };
        await parts.oom.next(id, signal);
      }
    },
    async readLog({ after }, { signal }) {
      const { last, lines } = await log.read(Number(after), signal);
      return { last, lines: [...lines] };
    },
    guestDetails: () => guest.details(),
    powerOff() {
      setImmediate(() => guest.powerOff());
      return {};
    },
  };
}

function oomKills({ pod }: AgentParts, id: string): number {
  return pod.pod.task(id).container().oomKills?.() ?? 0;
}

/** What GuestDetails answers. */
export type GuestDetails = trimaran.agent.v1.GuestDetailsResponse;
