import type { Codec } from "@trimaran/proto";
import { type Frame, FrameType } from "./frame.ts";
import { answerOf, type PendingCall, protocolError } from "./pending-call.ts";
import { Code, StatusError } from "./status.ts";

/** A unary call that waits for its Response. */
export class UnaryCall<Res> implements PendingCall {
  readonly #codec: Codec<Res>;
  readonly #resolve: (response: Res) => void;
  readonly #reject: (error: StatusError) => void;
  /** Ends the watch of deadline and signal. */
  unwatch: (() => void) | undefined;

  constructor(codec: Codec<Res>, resolve: (response: Res) => void, reject: (error: StatusError) => void) {
    this.#codec = codec;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  onFrame(frame: Frame): boolean {
    if (frame.type === FrameType.Data) this.fail(protocolError());
    else if (frame.type === FrameType.Response) this.#answer(answerOf(frame));
    else return false;
    return true;
  }

  fail(error: StatusError): void {
    this.unwatch?.();
    this.#reject(error);
  }

  #answer(answer: Uint8Array | StatusError): void {
    if (answer instanceof StatusError) {
      this.fail(answer);
      return;
    }
    try {
      this.#resolve(this.#codec.decode(answer));
      this.unwatch?.();
    } catch (cause) {
      this.fail(new StatusError(Code.Internal, "ttrpc: malformed message in the response", { cause }));
    }
  }
}
