/** Writes the fuzz corpus: `node src/testing/corpus.ts`. Seeds are well-formed inputs of every kind; crashes found later are added by hand. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeMessage, MessageType } from "../message.ts";
import { data, imm, nr, Op, Program, reg, SKIP_ON_ERROR, slot } from "./program.ts";
import { encodeFrame, FrameType, request } from "./ttrpc.ts";

const ROOT = join(import.meta.dirname, "../../c/fuzz/corpus");

function write(target: string, name: string, bytes: Uint8Array): void {
  mkdirSync(join(ROOT, target), { recursive: true });
  writeFileSync(join(ROOT, target, name), bytes);
}

/** Every op, before and after CLONE. */
function everyStep(): Uint8Array {
  const p = new Program();
  p.pipe(0, 1);
  p.drop(0);
  p.clone({ closeSlots: 2 });
  p.clone({ flags: 0x8000, stageExits: true });
  p.step(Op.Path, [reg(0), data(p.text("/a/b/../c")), imm(1), imm(0o755), imm(1)], { dst: 1, tolerate: [2, 17] });
  p.step(Op.Path, [reg(0), data(p.text("x/y")), imm(2), imm(0o644), imm(2)], { dst: 1, tolerate: [0xffff] });
  for (let what = 1; what <= 7; what++) p.step(Op.Check, [reg(1), imm(what), imm(0)], { tolerate: [0xffff] });
  p.step(Op.Caps, [data(p.bytes(40)), imm(7)], { tolerate: [0xffff] });
  p.step(Op.Cwd, [data(p.text("/"))], { tolerate: [0xffff], skip: 1 | SKIP_ON_ERROR });
  p.step(Op.Find, [data(p.bytes(Buffer.from("/bin/sh\0/bin/true\0\0"))), data(p.bytes(4096))], {
    tolerate: [0xffff],
    dst: 2,
  });
  p.step(Op.Store, [reg(2), imm(p.bytes(24)), imm(11)], { tolerate: [0xffff] });
  p.step(Op.Field, [reg(1), data(p.text("a")), imm(0), imm(1), imm(p.bytes(16)), imm(16)], { tolerate: [0xffff] });
  p.step(Op.Branch, [reg(2), imm(3), imm(0)], { skip: 1 });
  p.sync(1, imm(2), { fd: reg(1), slot: 4, data: Buffer.from("data"), tolerate: [0xffff] });
  p.step(Op.Pump, [reg(1), reg(2)], { tolerate: [0xffff] });
  p.step(Op.Close, [data(p.bytes(Buffer.from([3, 0, 0, 0, 1, 0, 0, 0x80]))), imm(2)], { tolerate: [0xffff] });
  p.exec(["/bin/sh", "-c", "true"], ["A=b"], { tolerate: [2] });
  p.exit(3);
  return p.encode();
}

function runProgram(): Uint8Array {
  const p = new Program();
  p.sys(nr.pidfd_send_signal, [slot(15), imm(9), imm(0), imm(0)], { tolerate: [3] });
  p.open("/dev/null", 2, 0);
  p.keep(reg(0), 5);
  p.drop(5);
  return p.encode();
}

const welcome = encodeMessage({ type: MessageType.Welcome, version: 1, pid: 1 });
const link = (...messages: Buffer[]): Buffer => Buffer.concat([welcome, ...messages]);
const empty = new Uint8Array();

write("program", "steps", Buffer.concat([Buffer.from([0]), everyStep()]));
write("program", "run", Buffer.concat([Buffer.from([1]), runProgram()]));
const streams = [
  { fromSlot: 0, toSlot: 2, flags: 3 },
  { fromSlot: 2, toSlot: 1, flags: 0 },
];
write(
  "link",
  "spawn",
  link(
    encodeMessage({ type: MessageType.Spawn, key: "a", streams, watches: [3], program: everyStep() }),
    encodeMessage({ type: MessageType.Gate, key: "a" }),
  ),
);
write(
  "link",
  "adopt",
  link(
    encodeMessage({ type: MessageType.Spawn, key: "adopt/12", streams: [], watches: [], program: empty }),
    encodeMessage({ type: MessageType.Forget, key: "adopt/12" }),
  ),
);
write(
  "link",
  "run",
  link(
    encodeMessage({ type: MessageType.Spawn, key: "a", streams: [], watches: [], program: runProgram() }),
    encodeMessage({ type: MessageType.Run, seq: 1, conn: 1, stream: 1, nth: 1, key: "a", program: runProgram() }),
    encodeMessage({ type: MessageType.Run, seq: 2, conn: 1, stream: 1, nth: 1, key: "a", program: runProgram() }),
  ),
);
write(
  "link",
  "notes",
  link(
    encodeMessage({ type: MessageType.Note, key: "k", value: Buffer.from("value") }),
    encodeMessage({ type: MessageType.Note, key: "k", value: empty }),
    encodeMessage({ type: MessageType.Note, key: "", value: Buffer.from("x") }),
    encodeMessage({ type: MessageType.SyncReply, key: "a", errno: 1, value: 2n }),
    encodeMessage({ type: MessageType.Pong, token: 1n }),
    encodeMessage({ type: MessageType.Bye, readBytes: 0n }),
  ),
);
const answer = encodeFrame({ stream: 1, type: FrameType.Response, flags: 0, payload: Buffer.from("ok") });
const end = encodeFrame({ stream: 3, type: FrameType.Data, flags: 5, payload: Buffer.alloc(0) });
write(
  "link",
  "send",
  link(
    encodeMessage({ type: MessageType.Send, conn: 1, frames: Buffer.concat([answer, end]) }),
    encodeMessage({ type: MessageType.Send, conn: 9, frames: answer }),
  ),
);
write("conn", "requests", Buffer.concat([request(1, "Create", "x"), request(3, "Wait", "y"), answer, end]));
write(
  "conn",
  "streaming",
  Buffer.concat([
    encodeFrame({ stream: 1, type: FrameType.Request, flags: 2, payload: Buffer.from("s") }),
    encodeFrame({ stream: 1, type: FrameType.Data, flags: 0, payload: Buffer.from("d") }),
    end,
  ]),
);
write("conn", "oversized", Buffer.concat([Buffer.from([0, 0x40, 0, 1, 0, 0, 0, 5, 1, 0]), Buffer.alloc(100)]));
