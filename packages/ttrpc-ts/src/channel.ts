import type { Frame } from "./frame.ts";

/** Whole frames in, whole frames out. Nothing is delivered before a Client or a Server has set the two handlers. */
export interface FrameChannel {
  /** Queue a whole frame, header included. False if the peer is slow: more is queued than the high-water mark. */
  send(frame: Uint8Array): boolean;
  onFrame: (frame: Frame) => void;
  /** Called once, when no more frames will come: end of file, an error, or after `close`. */
  onClose: (error?: Error) => void;
  /**
   * Called when the queue is below the mark again after a `send` that returned false. A channel that has no such property
   * gets no back-pressure: its senders of streams never wait.
   */
  onDrain?: () => void;
  /** Flush what was sent, then close. Harmless if closed. */
  close(): void;
}
