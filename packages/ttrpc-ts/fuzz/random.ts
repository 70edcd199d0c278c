/** A small seeded generator (mulberry32): the same seed gives the same run everywhere. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 to `limit` - 1. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  }

  pick<T>(list: readonly [T, ...T[]]): T {
    return list[this.below(list.length)] ?? list[0];
  }
}

const INTERESTING = [0, 1, 2, 3, 5, 7, 8, 10, 26, 0x7f, 0x80, 0xff] as const;

/** A changed copy: bytes flipped, set, inserted, removed, a part doubled or another input's part spliced in. */
export function mutate(random: Random, input: Buffer, other: Buffer): Buffer {
  let bytes = Buffer.from(input);
  for (let times = 1 + random.below(6); times > 0; times--) {
    const at = random.below(bytes.length + 1);
    const count = random.below(12);
    const [head, tail] = [bytes.subarray(0, at), bytes.subarray(at)];
    const way = random.below(6);
    if (way === 0 && at < bytes.length) bytes[at] = random.below(256);
    else if (way === 1 && at < bytes.length) bytes[at] = random.pick(INTERESTING);
    else if (way === 2) bytes = Buffer.concat([head, Buffer.from([random.pick(INTERESTING), random.below(256)]), tail]);
    else if (way === 3) bytes = Buffer.concat([head, tail.subarray(count)]);
    else if (way === 4) bytes = Buffer.concat([head, tail.subarray(0, count), tail]);
    else bytes = Buffer.concat([head, other.subarray(random.below(other.length + 1))]);
  }
  return bytes.subarray(0, 16384);
}
