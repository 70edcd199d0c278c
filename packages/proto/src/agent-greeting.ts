/**
 * How a conversation with the guest's agent begins. Bytes of an earlier one may still be in the port, in both directions, so the host sends a
 * greeting with a nonce, and the agent answers with the same nonce; each side drops everything up to there. ttrpc frames follow.
 */
const HOST_MARK = Buffer.from("\0trimaran-host\x01\0\xff", "latin1");
const AGENT_MARK = Buffer.from("\0trimaran-agnt\x01\0\xff", "latin1");

/** Bytes of a nonce. */
export const NONCE_BYTES = 16;

/**
 * The length of a beginning of `bytes` that has no greeting of the host inside, nor the whole of its mark: the agent takes that for a new conversation wherever it comes. All
 * else that the host sends is text, numbers and small byte strings, in which the mark can't be.
 */
export function harmlessLength(bytes: Uint8Array): number {
  const at = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).indexOf(HOST_MARK);
  return at < 0 ? bytes.length : at + 1;
}

/** What the host sends first. */
export function greeting(nonce: Uint8Array): Uint8Array {
  return Buffer.concat([HOST_MARK, nonce]);
}

/** What the agent answers. */
export function greetingReply(nonce: Uint8Array): Uint8Array {
  return Buffer.concat([AGENT_MARK, nonce]);
}

/** What was found, and what came after it. */
export interface Found {
  readonly nonce: Uint8Array;
  readonly rest: Uint8Array;
}

/** Finds a greeting in bytes cut anywhere; what is before it is dropped. Keeps no more than the greeting's length. */
export class GreetingFinder {
  readonly #mark: Uint8Array;
  #kept = Buffer.alloc(0);

  /** Whose greeting is looked for. */
  constructor(from: "host" | "agent") {
    this.#mark = from === "host" ? HOST_MARK : AGENT_MARK;
  }

  /** Undefined: not yet. */
  push(chunk: Uint8Array): Found | undefined {
    const bytes = Buffer.concat([this.#kept, chunk]);
    const at = bytes.indexOf(this.#mark);
    const end = at + this.#mark.length + NONCE_BYTES;
    if (at >= 0 && end <= bytes.length)
      return { nonce: bytes.subarray(at + this.#mark.length, end), rest: bytes.subarray(end) };
    this.#kept = Buffer.from(bytes.subarray(at >= 0 ? at : Math.max(0, bytes.length - this.#mark.length + 1)));
    return undefined;
  }
}
