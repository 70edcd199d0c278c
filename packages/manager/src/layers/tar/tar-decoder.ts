import { TarError } from "./tar-header.ts";
import { cutShort, type TarMember, type TarStep, tarMembers } from "./tar-members.ts";

/** Where the members of an archive go, synchronously. Whatever it throws ends the decoding. */
export interface TarSink {
  /** A member begins. */
  begin(member: TarMember): void;
  /** The next bytes of its stored content; a view that is valid during the call. */
  data(chunk: Buffer): void;
  /** The member is complete. */
  end(member: TarMember): void;
}

const NOTHING = Buffer.alloc(0);

/**
 * The members of a tar archive, as `tarMembers` has them, from chunks cut anywhere. No promise is made and, but for what a cut
 * goes through, no byte copied. What follows the archive's end is ignored. Throws TarError.
 */
export class TarDecoder {
  readonly #parser = tarMembers();
  readonly #sink: TarSink;
  /** What the parser waits for; undefined after the end. */
  #step: TarStep | undefined;
  /** Bytes of it that are still to come. */
  #missing = 0;
  /** The beginning of a block that was cut, `#filled` bytes of it. */
  #block = NOTHING;
  #filled = 0;

  constructor(sink: TarSink) {
    this.#sink = sink;
    this.#advance(undefined);
  }

  /** Take the next chunk. */
  push(chunk: Buffer): void {
    for (let at = 0; at < chunk.length && this.#step !== undefined; ) at += this.#take(chunk, at);
  }

  /** To be called where the source ends. Throws TarError if the archive does not end there. */
  finish(): void {
    const step = this.#step;
    if (step === undefined) return;
    if (step.kind === "member") throw cutShort(step.member);
    if (step.kind === "skip") throw new TarError("tar: cut short in a padding");
    this.#advance(this.#block.subarray(0, this.#filled)); // the parser knows whether it may end here
    if (this.#step !== undefined) throw new TarError("tar: cut short");
  }

  /** Give the parser, or the sink, what the chunk has for it. Returns how many bytes that were. */
  #take(chunk: Buffer, at: number): number {
    const length = Math.min(this.#missing, chunk.length - at);
    const isWhole = length === this.#missing;
    this.#missing -= length;
    if (this.#step?.kind === "read") this.#read(chunk.subarray(at, at + length), isWhole);
    else if (this.#step?.kind === "skip") {
      if (isWhole) this.#advance(NOTHING);
    } else if (this.#step?.kind === "member") {
      this.#sink.data(chunk.subarray(at, at + length));
      if (isWhole) this.#endMember(this.#step.member);
    }
    return length;
  }

  #read(part: Buffer, isWhole: boolean): void {
    if (isWhole && this.#filled === 0) {
      this.#advance(part);
      return;
    }
    if (this.#filled === 0) this.#block = Buffer.allocUnsafe(part.length + this.#missing);
    this.#block.set(part, this.#filled);
    this.#filled += part.length;
    if (isWhole) this.#advance(this.#block);
  }

  /** Resume the parser, and again while what it asks for is of no bytes. */
  #advance(answer: Buffer | undefined): void {
    const next = answer === undefined ? this.#parser.next() : this.#parser.next(answer);
    this.#filled = 0;
    this.#block = NOTHING;
    if (next.done) {
      this.#step = undefined;
      return;
    }
    this.#step = next.value;
    this.#missing = next.value.kind === "member" ? next.value.member.sizeBytes : next.value.bytes;
    if (next.value.kind === "member") this.#sink.begin(next.value.member);
    if (this.#missing > 0) return;
    if (next.value.kind === "member") this.#endMember(next.value.member);
    else this.#advance(NOTHING);
  }

  #endMember(member: TarMember): void {
    this.#sink.end(member);
    this.#advance(NOTHING);
  }
}
