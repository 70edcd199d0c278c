import { ttrpc } from "@trimaran/proto";
import { encodeFrame, type Frame, type FrameChannel, FrameType, memoryChannels } from "../src/index.ts";

/** What a Response frame says. */
export interface Answer {
  readonly streamId: number;
  readonly code: number;
  readonly message: string;
  readonly payload: Uint8Array;
  /** Bytes of the frame's payload: 0 for success without content. */
  readonly lengthBytes: number;
}

/** One end of a connection that sends any frame, and keeps what comes. */
export class RawPeer {
  readonly frames: Frame[] = [];
  closed = false;
  readonly channel: FrameChannel;
  #waiter: (() => void) | undefined;

  constructor(channel: FrameChannel) {
    this.channel = channel;
    channel.onFrame = (frame) => {
      this.frames.push(frame);
      this.#waiter?.();
    };
    channel.onClose = () => {
      this.closed = true;
      this.#waiter?.();
    };
  }

  /** The other end of a pair inside this process. */
  static pair(): [RawPeer, FrameChannel] {
    const [ours, theirs] = memoryChannels();
    return [new RawPeer(ours), theirs];
  }

  send(streamId: number, type: number, flags: number, payload: Uint8Array = new Uint8Array()): void {
    this.channel.send(encodeFrame({ streamId, type, flags, payload }));
  }

  request(streamId: number, method: string, payload?: Uint8Array, service = "trimaran.conformance.Echo"): void {
    this.send(streamId, FrameType.Request, 0, ttrpc.Request.encode({ service, method, payload }));
  }

  /** The next frame, waiting for it if need be. Rejects when the connection is closed. */
  async next(): Promise<Frame> {
    for (;;) {
      const frame = this.frames.shift();
      if (frame !== undefined) return frame;
      if (this.closed) throw new Error("closed");
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiter = resolve;
      await promise;
    }
  }

  /** The next frame, which must be a Response. */
  async answer(): Promise<Answer> {
    const frame = await this.next();
    if (frame.type !== FrameType.Response) throw new Error(`type ${frame.type}, not a Response`);
    const { status, payload } = ttrpc.Response.decode(frame.payload);
    const lengthBytes = frame.payload.length;
    return { streamId: frame.streamId, code: status?.code ?? 0, message: status?.message ?? "", payload, lengthBytes };
  }
}
