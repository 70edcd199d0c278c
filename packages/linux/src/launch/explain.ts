import { errnoName } from "../syscall/errno.ts";
import { SYSCALL } from "../syscall/numbers.ts";
import { FORMAT, KIND, OP } from "./opcodes.ts";
import type { Program } from "./program.ts";

/** Lowest of AT_FDCWD and the like that is shown as a negative number. */
const SMALL = 1 << 20;

/**
 * The program as text, a line per step, grouped by the field that it serves:
 * ```
 * mounts[0] "/proc"
 *    42  r3 = fsopen("proc", 0x1)
 * ```
 * Read from the bytes, so it shows what will run.
 */
export function explain(program: Program): string {
  const view = new DataView(program.bytes.buffer, program.bytes.byteOffset, program.bytes.byteLength);
  const names = new Map<number, string>(Object.entries(SYSCALL[program.architecture]).map(([name, nr]) => [nr, name]));
  const operations = new Map<number, string>(Object.entries(OP).map(([name, op]) => [op, name]));
  const dataOffset = view.getUint32(12, true);
  const lines: string[] = [];
  let field: string | undefined;
  program.labels.forEach((label, i) => {
    const at = FORMAT.headerSize + i * FORMAT.stepSize;
    const op = view.getUint16(at, true);
    if (label.field !== field) lines.push(label.field);
    field = label.field;
    const name = op === OP.SYS ? (names.get(view.getUint16(at + 4, true)) ?? "?") : (operations.get(op) ?? "?");
    const to = view.getUint16(at + 2, true);
    const target = to === FORMAT.noRegister ? "" : `r${to} = `;
    const args = argumentsOf(view, program.bytes, at, dataOffset).join(", ");
    const note = label.action === name ? "" : `  # ${label.action}`;
    lines.push(`  ${String(i).padStart(4)}  ${target}${name}(${args})${flow(view, at, i)}${note}`);
  });
  return `${lines.join("\n")}\n`;
}

function argumentsOf(view: DataView, bytes: Uint8Array, at: number, dataOffset: number): string[] {
  const kinds = view.getUint32(at + 12, true);
  const args: string[] = [];
  for (let i = 0; i < 6; i++) {
    const value = view.getBigInt64(at + 16 + i * 8, true);
    const kind = (kinds >>> (4 * i)) & 15;
    if (kind === KIND.register) args.push(`r${value}`);
    else if (kind === KIND.slot) args.push(`slot ${value}`);
    else if (kind === KIND.data) args.push(printData(bytes, dataOffset + Number(value)));
    else args.push(value > -SMALL && value < 1024n ? String(value) : `0x${BigInt.asUintN(64, value).toString(16)}`);
  }
  while (args.at(-1) === "0") args.pop();
  return args;
}

/** A string if it looks like one, else where it is. */
function printData(bytes: Uint8Array, at: number): string {
  const end = bytes.indexOf(0, at);
  const text = Buffer.from(bytes.subarray(at, end < 0 ? at : end)).toString("utf8");
  const isText =
    text.length > 0 &&
    text.length < 256 &&
    /^[\t\n\x20-\x7e]+$/.test(text) &&
    (text.length > 1 || /[./0-9]/.test(text));
  return isText ? JSON.stringify(text) : bytes[at] === 0 && end === at ? '""' : `data+${at}`;
}

/** Tolerated errnos and skips. */
function flow(view: DataView, at: number, index: number): string {
  const tolerated = [view.getUint16(at + 8, true), view.getUint16(at + 10, true)].filter((errno) => errno !== 0);
  const names = tolerated.map((errno) => (errno === FORMAT.anyErrno ? "any error" : errnoName(errno)));
  const skip = view.getUint16(at + 6, true);
  const to = index + 1 + (skip & ~FORMAT.skipOnError);
  const parts = names.length > 0 ? [` tolerates ${names.join(", ")}`] : [];
  if (skip !== 0) parts.push(` ${skip & FORMAT.skipOnError ? "on error" : "on success"} to ${to}`);
  return parts.length > 0 ? `  [${parts.join(";").trim()}]` : "";
}
