import type { MonitorLink } from "@trimaran/monitor";
import { type Frame, type FrameChannel, HEADER_BYTES } from "ttrpc-ts";

/** One of containerd's connections, seen through the monitor: whole frames come in, whole frames go out. */
export class MonitorChannel implements FrameChannel {
  onFrame: (frame: Frame) => void = () => undefined;
  onClose: (error?: Error) => void = () => undefined;
  readonly #link: MonitorLink;
  readonly #conn: number;

  constructor(link: MonitorLink, conn: number) {
    this.#link = link;
    this.#conn = conn;
  }

  send(frame: Uint8Array): boolean {
    this.#link.send(this.#conn, frame);
    return true;
  }

  /** A frame as the monitor forwarded it, header and payload; of an oversized one only the header. */
  receive(frame: Buffer, oversized: boolean): void {
    const header = { streamId: streamIdOf(frame), type: frame.readUInt8(8), flags: frame.readUInt8(9) };
    const payload = frame.subarray(HEADER_BYTES);
    this.onFrame(oversized ? { ...header, payload, oversizedBytes: frame.readUInt32BE(0) } : { ...header, payload });
  }

  close(): void {
    // The connection belongs to the monitor: it lives on when this task server goes.
  }
}

/** The stream that a ttrpc frame belongs to. Source: ttrpc PROTOCOL.md, "Message Frame". */
export function streamIdOf(frame: Buffer): number {
  return frame.readUInt32BE(4);
}
