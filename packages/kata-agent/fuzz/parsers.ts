import {
  agentV1,
  type Codec,
  type Found,
  GreetingFinder,
  greeting,
  greetingReply,
  harmlessLength,
  NONCE_BYTES,
  taskV3,
  WireError,
} from "@trimaran/proto";

/** Decoding gives a message that stays the same from then on, or WireError. */
function stable(codec: Codec<unknown>, input: Buffer): void {
  const first = codec.encode(codec.decode(input) as object);
  const again = codec.encode(codec.decode(Buffer.from(first)) as object);
  if (!Buffer.from(first).equals(Buffer.from(again))) throw new TypeError("another message when it is read again");
}

/** The first greeting, however the bytes are cut, is the same one. */
function greetings(input: Buffer): void {
  for (const from of ["host", "agent"] as const) {
    const whole = new GreetingFinder(from).push(input);
    const finder = new GreetingFinder(from);
    let cut: Found | undefined;
    for (let at = 0; at < input.length && cut === undefined; at += 7) cut = finder.push(input.subarray(at, at + 7));
    if (!same(whole?.nonce, cut?.nonce)) throw new TypeError("another greeting when it is cut");
  }
  const harmless = input.subarray(0, harmlessLength(input));
  if (new GreetingFinder("host").push(Buffer.concat([harmless, Buffer.alloc(40)])) !== undefined)
    throw new TypeError("a greeting in what is harmless");
}

function same(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  return one === undefined || other === undefined ? one === other : Buffer.from(one).equals(Buffer.from(other));
}

const nonce = Buffer.alloc(NONCE_BYTES, 7);
/** Of both services, both directions: what a guest says to the host, and what it hears. */
const messages = [agentV1, taskV3].flatMap(({ methods }) =>
  Object.values(methods).flatMap(({ name, request, response }) => [
    { name: `agent-${name}-request`, codec: request },
    { name: `agent-${name}-response`, codec: response },
  ]),
);
/** One field of each kind that the messages have. */
const FIELDS = [
  [0x0a, 1, 0x61],
  [0x12, 1, 0x62],
  [0x18, 1],
  [0x20, 2],
  [0x2a, 2, 0x08, 1],
  [0x30, 3],
  [0x38, 1],
].map((bytes) => Buffer.from(bytes));

export const parsers = [
  {
    name: "agent-greeting",
    seeds: [greeting(nonce), greetingReply(nonce), Buffer.concat([Buffer.alloc(30), greeting(nonce), Buffer.alloc(9)])],
    run: greetings,
    expects: () => false,
  },
  {
    name: "agent-messages",
    seeds: [Buffer.alloc(0), ...FIELDS, Buffer.concat(FIELDS)],
    run: (input: Buffer) => {
      let accepted = 0;
      for (const { codec } of messages)
        try {
          stable(codec as Codec<unknown>, input);
          accepted++;
        } catch (error) {
          if (!(error instanceof WireError)) throw error;
        }
      if (accepted === 0) throw new WireError("no message at all");
    },
    expects: (error: unknown) => error instanceof WireError,
  },
];
