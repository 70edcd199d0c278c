import { containerd, type Timestamp } from "@trimaran/proto";
import { publishEvent } from "./publish-event.ts";
import type { RecordsHost } from "./records-host.ts";

const { SandboxCreate, SandboxStart, SandboxExit } = containerd.events;

/** What the manager tells of sandboxes. An exit is told once, however many wait for it. */
export class SandboxEvents {
  readonly #host: Pick<RecordsHost, "events" | "nowNs">;
  /** Whose exit was told, until they are made anew or gone. */
  readonly #exited = new Set<string>();

  constructor(host: Pick<RecordsHost, "events" | "nowNs">) {
    this.#host = host;
  }

  created(namespace: string, sandboxId: string): void {
    this.#exited.delete(`${namespace}/${sandboxId}`);
    publishEvent(this.#host, namespace, "/sandboxes/create", SandboxCreate, { sandboxId });
  }

  started(namespace: string, sandboxId: string): void {
    publishEvent(this.#host, namespace, "/sandboxes/start", SandboxStart, { sandboxId });
  }

  exited(
    { namespace, id }: { readonly namespace: string; readonly id: string },
    exit: { readonly exitStatus: number; readonly exitedAt: Timestamp },
  ): void {
    const key = `${namespace}/${id}`;
    if (this.#exited.has(key)) return;
    this.#exited.add(key);
    publishEvent(this.#host, namespace, "/sandboxes/exit", SandboxExit, { sandboxId: id, ...exit });
  }

  /** It is gone for good; another of that id is another. */
  forgotten(namespace: string, sandboxId: string): void {
    this.#exited.delete(`${namespace}/${sandboxId}`);
  }
}
