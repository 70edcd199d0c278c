import { type ByteSource, readExactly } from "./byte-source.ts";
import { TarError } from "./tar-header.ts";
import { cutShort, type TarMember, tarMembers } from "./tar-members.ts";

/** A member whose content can be read. */
export interface TarEntry extends TarMember {
  /** What the archive stores of its content, to be read before the next entry is asked for; what is not read is skipped. */
  body(): AsyncGenerator<Uint8Array, void>;
}

const CHUNK_BYTES = 1 << 18;
const NOTHING = Buffer.alloc(0);

/** The members of a tar archive, as `tarMembers` has them, from an asynchronous source. Throws TarError. */
export async function* readTar(source: ByteSource): AsyncGenerator<TarEntry, void> {
  const parser = tarMembers();
  for (let step = parser.next(); !step.done; ) {
    const { value } = step;
    if (value.kind === "member") {
      const { member } = value;
      yield { ...member, body: () => readBody(source, member) };
      await skip(source, member.offset + member.sizeBytes - source.position);
      step = parser.next(NOTHING);
    } else if (value.kind === "skip") {
      await skip(source, value.bytes);
      step = parser.next(NOTHING);
    } else {
      step = parser.next(await readExactly(source, value.bytes));
    }
  }
}

async function* readBody(source: ByteSource, member: TarMember): AsyncGenerator<Uint8Array, void> {
  const end = member.offset + member.sizeBytes;
  while (source.position < end) {
    const chunk = await source.readSome(Math.min(end - source.position, CHUNK_BYTES));
    if (chunk === undefined) throw cutShort(member);
    yield chunk;
  }
}

async function skip(source: ByteSource, bytes: number): Promise<void> {
  try {
    await source.skip(bytes);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new TarError(`tar: ${error.message}`, { cause: error });
  }
}
