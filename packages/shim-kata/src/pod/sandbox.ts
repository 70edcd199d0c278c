import type { Host, Logger } from "@trimaran/shim-core";
import { AgentConnection } from "../agent/connection.ts";
import { followLog } from "../agent/follow-log.ts";
import { GuestMonitor } from "../exec/guest-monitor.ts";
import type { Guest, GuestProvider, GuestRequest } from "./guest.ts";

/** A pod's machine and the way to its agent. */
export class Sandbox {
  readonly guest: Guest;
  readonly agent: AgentConnection;
  /** Runs execs; undefined where the guest has none, and the agent does. */
  readonly execs: GuestMonitor | undefined;
  /** Pid in the guest of its first container's init, where that is not of the agent's making. */
  firstPid: (() => Promise<number>) | undefined;
  readonly #log: Logger;
  #prepared: Promise<void> | undefined;
  #isFollowed = false;

  constructor(guest: Guest, host: Host) {
    this.guest = guest;
    this.#log = host.log;
    this.agent = guest.agent ?? new AgentConnection({ path: guest.agentSocket, log: host.log });
    this.agent.onLie = () => void guest.kill();
    const onLie = () => void guest.kill();
    const path = guest.execSocket;
    const onSilent = () => this.agent.watch();
    this.execs = path === undefined ? undefined : new GuestMonitor({ path, log: host.log, onLie, onSilent });
    void guest.vmm.exited().then(() => this.close(guest.explainEnd()));
  }

  /** Nothing in the guest can be reached any more. */
  close(why: string): void {
    this.agent.close(why);
    this.execs?.close(why);
  }

  /** Resolves when the agent answers and the guest has all that its containers need. */
  prepare(): Promise<void> {
    this.#prepared ??= this.#prepare();
    return this.#prepared.then(() => this.follow());
  }

  /** What has failed once may succeed for the next container. */
  async #prepare(): Promise<void> {
    try {
      await this.guest.prepare?.(this.agent);
    } catch (error) {
      this.#prepared = undefined;
      throw error;
    }
  }

  /** The agent answers: what it logs is ours, too. */
  follow(): void {
    if (this.#isFollowed) return;
    this.#isFollowed = true;
    void followLog(this.agent, this.#log);
  }
}

/** The machines of each task server, by its pods. */
export class Sandboxes {
  readonly #provider: GuestProvider;
  readonly #known = new WeakMap<Host, Map<string, Sandbox>>();
  readonly #shared = new WeakMap<Host, string>();

  constructor(provider: GuestProvider) {
    this.#provider = provider;
  }

  /** Start it, or find it. */
  async open(request: GuestRequest, host: Host): Promise<Sandbox> {
    const known = this.#of(host).get(request.podId);
    if (known && !known.guest.vmm.hasExited) return known;
    const sandbox = new Sandbox(await this.#provider.open(request, host), host);
    this.#of(host).set(request.podId, sandbox);
    return sandbox;
  }

  /** One that was opened, by this or an earlier task server. */
  find(podId: string, namespace: string, host: Host): Sandbox {
    const known = this.#of(host).get(podId) ?? new Sandbox(this.#provider.find(podId, namespace, host), host);
    this.#of(host).set(podId, known);
    return known;
  }

  /** The pod that the Sandbox API has made of this monitor, if it has. */
  shared(host: Host): string | undefined {
    return this.#shared.get(host);
  }

  /** Containers of this monitor are of that pod. */
  share(podId: string, host: Host): void {
    this.#shared.set(host, podId);
  }

  /** Its first container is gone: so is the machine. */
  async remove(podId: string, host: Host): Promise<void> {
    const sandbox = this.#of(host).get(podId);
    this.#of(host).delete(podId);
    sandbox?.close("the pod's machine was removed"); // nobody may look for it any more: the next one's socket has the same path
    await sandbox?.guest.remove();
  }

  #of(host: Host): Map<string, Sandbox> {
    const known = this.#known.get(host) ?? new Map<string, Sandbox>();
    this.#known.set(host, known);
    return known;
  }
}
