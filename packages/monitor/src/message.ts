import { ByteReader, ByteWriter, ProtocolError } from "./bytes.ts";

/** PROTOCOL.md, section 3: 8 bytes of header, then the body. */
export const HEADER_BYTES = 8;
/** Longest body, 8 MiB. */
export const BODY_LIMIT_BYTES = 8 << 20;
export const PROTOCOL_VERSION = 1;

export const MessageType = {
  Start: 1,
  Answer: 2,
  Hello: 3,
  Note: 4,
  Proc: 5,
  Ready: 6,
  Welcome: 7,
  Frame: 8,
  Send: 9,
  ConnClosed: 10,
  Spawn: 11,
  Run: 12,
  Result: 13,
  Gate: 14,
  Sync: 15,
  SyncReply: 16,
  Forget: 17,
  Watch: 18,
  Ping: 19,
  Pong: 20,
  Exit: 21,
  Bye: 22,
  Output: 23,
  Taken: 24,
} as const;
export type MessageType = (typeof MessageType)[keyof typeof MessageType];

export const FrameFlag = { Replayed: 1, Oversized: 2 } as const;
/** What a monitor can do, of HELLO. */
export const HelloFlag = { Last: 1 } as const;
export const ProcFlag = {
  Spawned: 1,
  Gate: 2,
  Opened: 4,
  Execed: 8,
  Failed: 16,
  Exited: 32,
  Drained: 64,
  Stale: 128,
} as const;
/** In a watch's byte: the slot is a told one. */
export const TOLD = 0x80;
/** In the same: its file is read when the process has ended. */
export const LAST = 0x40;
export const StreamFlag = { KeepTarget: 1, Uncounted: 2 } as const;

export interface StreamSpec {
  readonly fromSlot: number;
  readonly toSlot: number;
  readonly flags: number;
}

type T = typeof MessageType;
/** Every message. Byte fields of a decoded one are views of the chunk that it came in. */
export type Message =
  | {
      readonly type: T["Start"];
      readonly argv: readonly string[];
      readonly env: readonly string[];
      readonly cwd: string;
      readonly stdin: Uint8Array;
      readonly pid: number;
    }
  | {
      readonly type: T["Answer"];
      readonly kind: number;
      readonly code: number;
      readonly stdout: Uint8Array;
      readonly stderr: Uint8Array;
      readonly program: Uint8Array;
    }
  | {
      readonly type: T["Hello"];
      readonly flags: number;
      readonly version: number;
      readonly pid: number;
      readonly identity: string;
    }
  | { readonly type: T["Note"]; readonly key: string; readonly value: Uint8Array }
  | {
      readonly type: T["Proc"];
      readonly key: string;
      readonly flags: number;
      readonly pid: number;
      readonly step: number;
      readonly errno: number;
      readonly waitStatus: number;
      readonly exitedAtNs: bigint;
      readonly startTime: bigint;
      /** Empty, but after the end of a process that has such a slot. */
      readonly last: Uint8Array;
    }
  | { readonly type: T["Ready"] | T["Exit"] }
  | { readonly type: T["Bye"]; readonly readBytes: bigint }
  | { readonly type: T["Welcome"]; readonly version: number; readonly pid: number }
  | { readonly type: T["Frame"]; readonly flags: number; readonly conn: number; readonly frame: Uint8Array }
  | { readonly type: T["Send"]; readonly conn: number; readonly frames: Uint8Array }
  | { readonly type: T["ConnClosed"]; readonly conn: number }
  | {
      readonly type: T["Spawn"];
      readonly key: string;
      readonly streams: readonly StreamSpec[];
      readonly watches: readonly number[];
      readonly program: Uint8Array;
    }
  | {
      readonly type: T["Run"];
      readonly seq: number;
      readonly conn: number;
      readonly stream: number;
      readonly nth: number;
      readonly key: string;
      readonly program: Uint8Array;
    }
  | {
      readonly type: T["Result"];
      readonly seq: number;
      readonly step: number;
      readonly errno: number;
      readonly value: bigint;
    }
  | { readonly type: T["Gate"] | T["Forget"]; readonly key: string }
  | {
      readonly type: T["Sync"];
      readonly key: string;
      readonly code: number;
      readonly value: bigint;
      readonly hasFd: boolean;
      readonly data: Uint8Array;
    }
  | { readonly type: T["SyncReply"]; readonly key: string; readonly errno: number; readonly value: bigint }
  | { readonly type: T["Watch"]; readonly key: string; readonly slot: number; readonly data: Uint8Array }
  | { readonly type: T["Ping"] | T["Pong"]; readonly token: bigint }
  | {
      readonly type: T["Output"];
      readonly key: string;
      readonly slot: number;
      readonly offset: bigint;
      readonly data: Uint8Array;
    }
  | { readonly type: T["Taken"]; readonly key: string; readonly slot: number; readonly offset: bigint };

function writeStrings(to: ByteWriter, strings: readonly string[]): void {
  if (strings.length > 0xffff) throw new ProtocolError(`${strings.length} strings: at most 65535`);
  to.u16(strings.length);
  for (const text of strings) to.str(text);
}

function writeBody(to: ByteWriter, m: Message): void {
  switch (m.type) {
    case MessageType.Start:
      writeStrings(to, m.argv);
      writeStrings(to, m.env);
      to.str(m.cwd).blob(m.stdin).u32(m.pid);
      break;
    case MessageType.Answer:
      to.u8(m.kind).i32(m.code).blob(m.stdout).blob(m.stderr).blob(m.program);
      break;
    case MessageType.Hello:
      to.u32(m.version).u32(m.pid).str(m.identity);
      break;
    case MessageType.Note:
      to.str(m.key).blob(m.value);
      break;
    case MessageType.Proc:
      to.str(m.key)
        .u16(m.flags)
        .u32(m.pid)
        .u32(m.step)
        .u32(m.errno)
        .i32(m.waitStatus)
        .u64(m.exitedAtNs)
        .u64(m.startTime)
        .raw(m.last);
      break;
    case MessageType.Ready:
    case MessageType.Exit:
      break;
    case MessageType.Bye:
      to.u64(m.readBytes);
      break;
    case MessageType.Welcome:
      to.u32(m.version).u32(m.pid);
      break;
    case MessageType.Frame:
      to.u32(m.conn).raw(m.frame);
      break;
    case MessageType.Send:
      to.u32(m.conn).raw(m.frames);
      break;
    case MessageType.ConnClosed:
      to.u32(m.conn);
      break;
    case MessageType.Spawn:
      to.str(m.key).u8(m.streams.length);
      for (const s of m.streams) to.u8(s.fromSlot).u8(s.toSlot).u16(s.flags);
      to.u8(m.watches.length);
      for (const slot of m.watches) to.u8(slot);
      to.blob(m.program);
      break;
    case MessageType.Run:
      to.u32(m.seq).u32(m.conn).u32(m.stream).u16(m.nth).str(m.key).blob(m.program);
      break;
    case MessageType.Result:
      to.u32(m.seq).u32(m.step).u32(m.errno).u64(m.value);
      break;
    case MessageType.Gate:
    case MessageType.Forget:
      to.str(m.key);
      break;
    case MessageType.Sync:
      to.str(m.key)
        .u32(m.code)
        .u64(m.value)
        .u8(m.hasFd ? 1 : 0)
        .blob(m.data);
      break;
    case MessageType.SyncReply:
      to.str(m.key).u32(m.errno).u64(m.value);
      break;
    case MessageType.Watch:
      to.str(m.key).u8(m.slot).blob(m.data);
      break;
    case MessageType.Ping:
    case MessageType.Pong:
      to.u64(m.token);
      break;
    case MessageType.Output:
      to.str(m.key).u8(m.slot).u64(m.offset).blob(m.data);
      break;
    case MessageType.Taken:
      to.str(m.key).u8(m.slot).u64(m.offset);
      break;
  }
}

/** Header and body in one buffer. Throws ProtocolError for a body above 8 MiB, RangeError for a number out of range. */
export function encodeMessage(message: Message): Buffer {
  const to = new ByteWriter()
    .u32(0)
    .u16(message.type)
    .u16(message.type === MessageType.Frame || message.type === MessageType.Hello ? message.flags : 0);
  writeBody(to, message);
  const bytes = to.finish();
  const length = bytes.length - HEADER_BYTES;
  if (length > BODY_LIMIT_BYTES) throw new ProtocolError(`message of ${length} bytes: at most ${BODY_LIMIT_BYTES}`);
  bytes.writeUInt32LE(length, 0);
  return bytes;
}

function readStrings(from: ByteReader): string[] {
  return Array.from({ length: from.u16() }, () => from.str());
}

function readStream(from: ByteReader): StreamSpec {
  return { fromSlot: from.u8(), toSlot: from.u8(), flags: from.u16() };
}

function readBody(type: number, flags: number, from: ByteReader): Message {
  switch (type) {
    case MessageType.Start:
      return {
        type,
        argv: readStrings(from),
        env: readStrings(from),
        cwd: from.str(),
        stdin: from.blob(),
        pid: from.u32(),
      };
    case MessageType.Answer:
      return {
        type,
        kind: from.u8(),
        code: from.i32(),
        stdout: from.blob(),
        stderr: from.blob(),
        program: from.blob(),
      };
    case MessageType.Hello:
      return { type, flags, version: from.u32(), pid: from.u32(), identity: from.str() };
    case MessageType.Note:
      return { type, key: from.str(), value: from.blob() };
    case MessageType.Proc:
      return {
        type,
        key: from.str(),
        flags: from.u16(),
        pid: from.u32(),
        step: from.u32(),
        errno: from.u32(),
        waitStatus: from.i32(),
        exitedAtNs: from.u64(),
        startTime: from.u64(),
        last: from.rest(),
      };
    case MessageType.Ready:
    case MessageType.Exit:
      return { type };
    case MessageType.Bye:
      return { type, readBytes: from.u64() };
    case MessageType.Welcome:
      return { type, version: from.u32(), pid: from.u32() };
    case MessageType.Frame:
      return { type, flags, conn: from.u32(), frame: from.rest() };
    case MessageType.Send:
      return { type, conn: from.u32(), frames: from.rest() };
    case MessageType.ConnClosed:
      return { type, conn: from.u32() };
    case MessageType.Spawn: {
      const key = from.str();
      const streams = Array.from({ length: from.u8() }, () => readStream(from));
      const watches = Array.from({ length: from.u8() }, () => from.u8());
      return { type, key, streams, watches, program: from.blob() };
    }
    case MessageType.Run:
      return {
        type,
        seq: from.u32(),
        conn: from.u32(),
        stream: from.u32(),
        nth: from.u16(),
        key: from.str(),
        program: from.blob(),
      };
    case MessageType.Result:
      return { type, seq: from.u32(), step: from.u32(), errno: from.u32(), value: from.u64() };
    case MessageType.Gate:
    case MessageType.Forget:
      return { type, key: from.str() };
    case MessageType.Sync:
      return { type, key: from.str(), code: from.u32(), value: from.u64(), hasFd: from.u8() !== 0, data: from.blob() };
    case MessageType.SyncReply:
      return { type, key: from.str(), errno: from.u32(), value: from.u64() };
    case MessageType.Watch:
      return { type, key: from.str(), slot: from.u8(), data: from.blob() };
    case MessageType.Ping:
    case MessageType.Pong:
      return { type, token: from.u64() };
    case MessageType.Output:
      return { type, key: from.str(), slot: from.u8(), offset: from.u64(), data: from.blob() };
    case MessageType.Taken:
      return { type, key: from.str(), slot: from.u8(), offset: from.u64() };
    default:
      throw new ProtocolError(`message type ${type} is unknown`);
  }
}

/** One body to a message. Throws ProtocolError for an unknown type, a truncated body or one with something left. */
export function decodeMessage(type: number, flags: number, body: Uint8Array): Message {
  const from = new ByteReader(body);
  const message = readBody(type, flags, from);
  from.end();
  return message;
}
