import { Code, ManagerError } from "../errors/manager-error.ts";
import type { MessageStream } from "./message-stream.ts";

interface Entry {
  readonly stream: MessageStream;
  readonly lease: string | undefined;
}

/** The streams that clients hold open, by namespace and by the client's name for them. */
export class StreamRegistry {
  readonly #entries = new Map<string, Entry>();

  /** Until the result is disposed. Throws AlreadyExists. */
  add(namespace: string, id: string, stream: MessageStream, lease: string | undefined): Disposable {
    const key = keyOf(namespace, id);
    if (this.#entries.has(key))
      throw new ManagerError(Code.AlreadyExists, `stream ${JSON.stringify(id)}: already exists`);
    this.#entries.set(key, { stream, lease });
    return { [Symbol.dispose]: () => void this.#entries.delete(key) };
  }

  /** Throws NotFound. */
  get(namespace: string, id: string): MessageStream {
    const entry = this.#entries.get(keyOf(namespace, id));
    if (entry !== undefined) return entry.stream;
    throw new ManagerError(Code.NotFound, `stream ${JSON.stringify(id)}: not found`);
  }

  /** A lease has gone, and its streams with it. */
  closeLease(namespace: string, lease: string): void {
    for (const [key, entry] of this.#entries) {
      if (entry.lease !== lease || !key.startsWith(keyOf(namespace, ""))) continue;
      entry.stream.fail(new ManagerError(Code.NotFound, `lease ${JSON.stringify(lease)}: not found`));
    }
  }
}

function keyOf(namespace: string, id: string): string {
  return `${namespace}\n${id}`; // an identifier has no line feed
}
