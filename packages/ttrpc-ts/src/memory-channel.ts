import type { FrameChannel } from "./channel.ts";
import { type Frame, FrameReader } from "./frame.ts";

class MemoryChannel implements FrameChannel {
  onFrame: (frame: Frame) => void = () => {};
  onClose: (error?: Error) => void = () => {};
  readonly #reader = new FrameReader();
  #peer: MemoryChannel | undefined;
  #closed = false;

  connect(peer: MemoryChannel): void {
    this.#peer = peer;
  }

  send(frame: Uint8Array): boolean {
    const peer = this.#peer;
    if (!this.#closed) queueMicrotask(() => peer?.deliver(frame));
    return true;
  }

  deliver(bytes: Uint8Array): void {
    for (const frame of this.#reader.feed(bytes)) if (!this.#closed) this.onFrame(frame);
  }

  close(): void {
    const peer = this.#peer;
    queueMicrotask(() => peer?.finish());
    this.finish();
  }

  finish(): void {
    if (this.#closed) return;
    this.#closed = true;
    queueMicrotask(() => this.onClose());
  }
}

/** Two ends of a connection inside this process. Unbounded, so for tests and for parts that trust each other. */
export function memoryChannels(): [FrameChannel, FrameChannel] {
  const [a, b] = [new MemoryChannel(), new MemoryChannel()];
  a.connect(b);
  b.connect(a);
  return [a, b];
}
