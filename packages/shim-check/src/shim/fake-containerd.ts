import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { type containerd, fromTimestamp, ttrpcEvents } from "@trimaran/proto";
import { type CallContext, listenUnix, Server } from "ttrpc-ts";

/** An event as a shim has sent it. */
export interface RecordedEvent {
  readonly namespace: string;
  readonly topic: string;
  readonly typeUrl: string;
  readonly value: Uint8Array;
  /** Of the envelope, in nanoseconds since 1970; 0 if there was none. */
  readonly timestampNs: bigint;
  /** The call's metadata `containerd-namespace-ttrpc`; "" if there was none. */
  readonly metadataNamespace: string;
}

/**
 * The side of containerd that a shim sees: an address, and the ttrpc events service on ADDRESS.ttrpc, which records what comes in
 * its order. It starts no shims itself. Disposing it removes its folder.
 */
export class FakeContainerd implements AsyncDisposable {
  /** Its folder, `/tmp/trm-XXXXXX`; bundles live in it. The last part is in every path, id and environment. */
  readonly dir: string;
  readonly address: string;
  readonly events: RecordedEvent[] = [];
  #server = new Server();
  readonly #waiters = new Set<() => void>();

  private constructor(dir: string) {
    this.dir = dir;
    this.address = join(dir, "c.sock");
  }

  /** Listen. */
  static async open(): Promise<FakeContainerd> {
    const fake = new FakeContainerd(await mkdtemp("/tmp/trm-"));
    await fake.resume();
    return fake;
  }

  /** Go away as a daemon that is killed: the events socket and every connection to it are gone. */
  stop(): void {
    this.#server.close();
  }

  /** Come back after `stop`. */
  async resume(): Promise<void> {
    this.#server = new Server();
    this.#server.register(ttrpcEvents, { forward: ({ envelope }, context) => this.#record(envelope, context) });
    await listenUnix(this.#server, `${this.address}.ttrpc`);
  }

  /** Wait until an event of that topic is there; a promise that stays open if none comes. */
  async seen(topic: string): Promise<RecordedEvent> {
    for (;;) {
      const found = this.events.find((event) => event.topic === topic);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#waiters.add(resolve));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    await rm(this.dir, { recursive: true, force: true });
  }

  #record(envelope: containerd.types.Envelope | undefined, { metadata }: CallContext<void>): object {
    const { namespace = "", topic = "", event, timestamp } = envelope ?? {};
    this.events.push({
      namespace,
      topic,
      typeUrl: event?.typeUrl ?? "",
      value: Uint8Array.from(event?.value ?? []),
      timestampNs: timestamp === undefined ? 0n : fromTimestamp(timestamp),
      metadataNamespace: metadata.get("containerd-namespace-ttrpc")?.[0] ?? "",
    });
    for (const wake of this.#waiters) wake();
    this.#waiters.clear();
    return {};
  }
}
