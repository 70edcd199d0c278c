import { containerd, ttrpcEvents } from "@trimaran/proto";
import { Client, Code, connectUnix, StatusError } from "ttrpc-ts";
import { RetryableError } from "./outbox.ts";

const CALL_LIMIT_MS = 5000;

/**
 * Sends envelopes to containerd's ttrpc events service. One lazily dialled connection for all pods of a task server; it is dialled
 * anew after it broke. Source: contract section 4, "Transport".
 */
export class EventPublisher {
  readonly #path: string;
  readonly #namespace: string;
  #client: Promise<Client> | undefined;

  /** `address`: a path, or a `unix://` URI. */
  constructor(address: string, namespace: string) {
    this.#path = address.replace(/^unix:\/\//, "");
    this.#namespace = namespace;
  }

  /** Throws RetryableError where the daemon is away, else what it answered. */
  async forward(envelope: Uint8Array): Promise<void> {
    const client = await this.#connected();
    try {
      await client
        .service(ttrpcEvents)
        .forward(
          { envelope: containerd.types.Envelope.decode(envelope) },
          { timeoutMs: CALL_LIMIT_MS, metadata: { "containerd-namespace-ttrpc": this.#namespace } },
        );
    } catch (error) {
      if (isAway(error)) {
        this.close();
        throw new RetryableError("containerd's events service is away", { cause: error });
      }
      throw error;
    }
  }

  close(): void {
    this.#client?.then(
      (client) => client.close(),
      () => undefined,
    );
    this.#client = undefined;
  }

  async #connected(): Promise<Client> {
    this.#client ??= connectUnix(this.#path).then((channel) => new Client(channel));
    try {
      return await this.#client;
    } catch (error) {
      this.#client = undefined;
      throw new RetryableError(`no events service at ${this.#path}`, { cause: error });
    }
  }
}

/** The daemon did not take it, and may take it later. Only a refusal of the envelope itself is final. */
function isAway(error: unknown): boolean {
  return !(error instanceof StatusError && (error.code === Code.InvalidArgument || error.code === Code.Unimplemented));
}
