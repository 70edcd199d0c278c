import { existsSync } from "node:fs";
import { cgroupsOf, mountsOf, processesOf, type Scope, socketPath } from "../host/belongings.ts";
import { removeAll } from "../host/clean-up.ts";
import { FakeContainerd } from "../shim/fake-containerd.ts";

/**
 * One containerd's place: address, namespace, folder, ids. Checks follow one another in it, as containers do under one daemon, each with a
 * bundle and ids of its own. Disposing it ends and removes all that bears its mark.
 */
export class Lane implements AsyncDisposable {
  readonly containerd: FakeContainerd;
  readonly namespace: string;
  readonly #ids: string[] = [];

  private constructor(containerd: FakeContainerd) {
    this.containerd = containerd;
    this.namespace = containerd.dir.slice("/tmp/".length);
  }

  static async open(): Promise<Lane> {
    return new Lane(await FakeContainerd.open());
  }

  /** An id that no other begins with. */
  newId(): string {
    const id = `${this.namespace}-${String(this.#ids.length).padStart(4, "0")}`;
    this.#ids.push(id);
    return id;
  }

  /** Processes, mounts, cgroups and sockets of some of its ids. Processes that many pods share bear no id, and are not meant. */
  async belongingsOf(ids: readonly string[]): Promise<string[]> {
    const lists = ids.map(async (id) => {
      const scope = { tag: id, dir: id, namespace: this.namespace };
      const processes = (await processesOf(scope)).filter(({ pid }) => pid !== process.pid);
      const socket = socketPath(this.containerd.address, this.namespace, id);
      return [
        ...processes.map(({ pid, state, command }) => `process ${pid} (${state}): ${command}`),
        ...(await mountsOf(scope)).map((path) => `mount ${path}`),
        ...(await cgroupsOf(scope)).map((path) => `cgroup ${path}`),
        ...(existsSync(socket) ? [`socket ${socket}`] : []),
      ];
    });
    return (await Promise.all(lists)).flat();
  }

  /** Returns what would not go. */
  async close(): Promise<string[]> {
    const left = await removeAll(this.#scope());
    await this.containerd[Symbol.asyncDispose]();
    return left;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #scope(): Scope {
    const { dir, address } = this.containerd;
    return { tag: this.namespace, dir, namespace: this.namespace, address, ids: this.#ids };
  }
}
