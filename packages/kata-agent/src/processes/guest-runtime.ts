import type { Container, CreateRequest, Host, Runtime } from "@trimaran/shim-core";
import { RuncRuntime } from "@trimaran/shim-runc";

/** shim-runc's engine, and containers that the host has had made by the guest's other monitor. */
export class GuestRuntime implements Runtime {
  /** Pid of init, by the id of a container that is to be adopted. */
  readonly adopted = new Map<string, number>();
  readonly #engine = new RuncRuntime({ path: "" }); // no CRIU: a guest is not saved from inside
  readonly name = this.#engine.name;
  readonly version = this.#engine.version;

  async create(request: CreateRequest, host: Host): Promise<Container> {
    return this.#adopt(request, host) ?? (await this.#engine.create(request, host));
  }

  /** In the agent: where its monitor has connected anew. */
  async recover(request: CreateRequest, host: Host): Promise<Container> {
    return this.#adopt(request, host) ?? (await this.#engine.recover(request, host));
  }

  #adopt(request: CreateRequest, host: Host): Container | undefined {
    const pid = this.adopted.get(request.id);
    return pid === undefined ? undefined : this.#engine.adopt(request, host, pid);
  }
}
