import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describeFailure } from "@trimaran/linux";
import {
  type CreateRequest,
  type Host,
  type MonitoredProcess,
  parseStdio,
  planStdio,
  processProgram,
} from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";
import type { Guest, GuestContainer, GuestProvider, GuestRequest } from "../src/pod/guest.ts";

const SIGKILL = 9;
/** Names of cgroups that a test's containers are in, on this host: the guest's root is the host's here. */
const KEY = "vm/";

/** Where the agent comes from. */
export interface PlainGuestOptions {
  readonly node: string;
  /** Folder with agent.cjs and monitor. */
  readonly library: string;
  /** Folder for sockets. */
  readonly run: string;
}

/**
 * A guest without a machine, for tests: the agent is a plain process in a pid and a mount namespace of its own, a child of the pod's monitor as a VMM is. It has the
 * host's kernel and files, and everything else is as with a machine, down to its end at any moment.
 */
export class PlainGuests implements GuestProvider {
  readonly #options: PlainGuestOptions;

  constructor(options: PlainGuestOptions) {
    this.#options = options;
  }

  async open({ owner, podId }: GuestRequest, host: Host): Promise<Guest> {
    const { node, library } = this.#options;
    const directory = this.#directory(podId);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    host.recordUndo(owner.bundle, [
      { verb: "unlink", path: `${directory}/agent.sock` },
      { verb: "unlink", path: `${directory}/server.sock` },
      { verb: "rmdir", path: directory },
    ]);
    const namespaces = ["--pid", "--mount", "--fork", "--kill-child", "--mount-proc"];
    const agent = [`${library}/agent.cjs`, `--socket=${directory}/agent.sock`, `--directory=${directory}`, "--debug"];
    const program = processProgram({
      process: {
        args: ["unshare", ...namespaces, node, ...agent],
        env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", `TRIMARAN_E2E=${podId}`],
        cwd: "/",
        user: { uid: 0, gid: 0, umask: undefined, additionalGids: [] },
        rlimits: [],
        noNewPrivileges: false,
      },
      stdio: planStdio(parseStdio({ stdin: "", stdout: "", stderr: "", terminal: false }), { uid: 0, gid: 0 }).plan,
      cgroup: { attachFiles: [] },
      gate: false,
    });
    const describe = (step: number, errno: number) =>
      new StatusError(Code.Unknown, describeFailure(program, step, errno));
    const vmm = host.launch(KEY + podId, { program: program.bytes, describe });
    await vmm.execed();
    host.recordProcess(owner.bundle, vmm);
    return new PlainGuest(vmm, directory, host);
  }

  find(podId: string, _namespace: string, host: Host): Guest {
    const vmm = host.find(KEY + podId, { describe: (_step, errno) => new Error(`errno ${errno}`) });
    return new PlainGuest(vmm, this.#directory(podId), host);
  }

  #directory(podId: string): string {
    return join(this.#options.run, podId);
  }
}

class PlainGuest implements Guest {
  readonly vmm: MonitoredProcess;
  readonly agentSocket: string;
  readonly #directory: string;
  readonly #host: Host;

  constructor(vmm: MonitoredProcess, directory: string, host: Host) {
    this.vmm = vmm;
    this.agentSocket = `${directory}/agent.sock`;
    this.#directory = directory;
    this.#host = host;
  }

  explainEnd(): string {
    return "the guest has ended";
  }

  /** It sees the host's files. */
  async share({ request }: GuestContainer): Promise<CreateRequest["rootfs"]> {
    return request.rootfs;
  }

  async unshare(): Promise<void> {}

  async kill(): Promise<void> {
    await this.#host.signal(this.vmm, SIGKILL).catch(() => undefined); // it has ended
    await this.vmm.exited();
  }

  async remove(): Promise<void> {
    await this.kill();
    this.#host.forget(this.vmm.key);
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 20 }); // its own monitor may still be ending
  }
}
