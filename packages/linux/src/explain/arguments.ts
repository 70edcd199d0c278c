import { capabilityNames } from "../capability/capability.ts";
import type { Names } from "./flag-names.ts";
import * as names from "./flag-names.ts";
import type { ProgramImage, RawArgument, RawStep } from "./image.ts";

/** Prints one argument; undefined leaves it out, because another one says it already. */
type Printer = (argument: RawArgument, image: ProgramImage, step: RawStep) => string | undefined;

const AT_FDCWD = -100n;

/** A value that is what it is: a number, a register, a slot. Data of unknown shape is a place. */
export function plain({ kind, value }: RawArgument): string {
  if (kind === "register") return `r${value}`;
  if (kind === "slot") return `slot ${value}`;
  if (kind === "data") return `data+${value}`;
  return String(value);
}

/** Bits by name, those without a name in hexadecimal. */
export function flagText(value: bigint, table: Names): string {
  let rest = BigInt.asUintN(64, value);
  const set: string[] = [];
  for (const [name, bits] of table) {
    const mask = BigInt(bits);
    if (mask === 0n || (rest & mask) !== mask) continue;
    set.push(name);
    rest &= ~mask;
  }
  if (rest !== 0n) set.push(`0x${rest.toString(16)}`);
  return set.length === 0 ? "0" : set.join("|");
}

const immediate =
  (print: (value: bigint, image: ProgramImage) => string): Printer =>
  (argument, image) =>
    argument.kind === "immediate" ? print(argument.value, image) : plain(argument);

const data =
  (print: (offset: number, image: ProgramImage, step: RawStep) => string): Printer =>
  (argument, image, step) =>
    argument.kind === "data" ? print(Number(argument.value), image, step) : plain(argument);

const flags = (table: Names) => immediate((value) => flagText(value, table));
const named = (table: Names) =>
  immediate((value) => table.find(([, number]) => BigInt(number) === value)?.[0] ?? String(value));
const hidden: Printer = () => undefined;
const fd = immediate((value) => (value === AT_FDCWD ? "AT_FDCWD" : String(BigInt.asIntN(32, value))));
const number: Printer = plain;
const id = immediate((value) => String(BigInt.asIntN(32, value)));
const mode = immediate((value) => `0${value.toString(8)}`);
const text = data((offset, image) => JSON.stringify(image.text(offset)));
const texts = data(
  (offset, image) =>
    `[${image
      .texts(offset)
      .map((each) => JSON.stringify(each))
      .join(", ")}]`,
);
const argv = data(
  (offset, image) =>
    `[${image
      .pointedTexts(offset)
      .map((each) => JSON.stringify(each))
      .join(", ")}]`,
);
/** An environment may hold secrets: names only. */
const environment = data(
  (offset, image) =>
    `[${image
      .pointedTexts(offset)
      .map((each) => each.replace(/=.*/s, "=…"))
      .join(", ")}]`,
);
const open = immediate((value, image) => {
  const access = (value & 3n) === 0n && (value & 0o10000000n) === 0n ? "O_RDONLY" : "";
  const rest = flagText(value, names.openFlags(image.architecture));
  if (access === "") return rest;
  return rest === "0" ? access : `${access}|${rest}`;
});
const device = immediate((value) => `${(value >> 8n) & 0xfffn}:${(value & 0xffn) | ((value >> 12n) & 0xfff00n)}`);

const openHow = data((offset, image) => {
  const [how = 0n, , resolve = 0n] = image.words(offset, 3);
  const opened = open({ kind: "immediate", value: how }, image, NO_STEP);
  return `{${opened}, ${flagText(resolve, names.RESOLVE_FLAGS)}}`;
});
const cloneArgs = data((offset, image) => flagText(image.words(offset, 1)[0] ?? 0n, names.CLONE_FLAGS));
const mountAttr = data((offset, image) => {
  const [set = 0n, clear = 0n, propagation = 0n] = image.words(offset, 3);
  const parts = [
    ...(set === 0n ? [] : [`set ${flagText(set, names.MOUNT_ATTRIBUTES)}`]),
    ...(clear === 0n ? [] : [`clear ${flagText(clear, names.MOUNT_ATTRIBUTES)}`]),
    ...(propagation === 0n ? [] : [flagText(propagation, names.PROPAGATIONS)]),
  ];
  return `{${parts.join(", ")}}`;
});
const UNLIMITED = 2n ** 64n - 1n;
const limit = data((offset, image) => {
  const [soft, hard] = image.words(offset, 2).map((value) => (value === UNLIMITED ? "unlimited" : String(value)));
  return `{soft ${soft}, hard ${hard}}`;
});
const filter = data((offset, image) => {
  const length = image.bytes(offset, 2);
  return `{${(length[0] ?? 0) | ((length[1] ?? 0) << 8)} instructions}`;
});
const CAPABILITY_SETS = ["bounding", "effective", "permitted", "inheritable", "ambient"] as const;
const capabilities = data((offset, image, { arguments: [, what] }) => {
  const masks = image.words(offset, CAPABILITY_SETS.length);
  const wanted = (what?.value ?? 0n) === 1n ? ["bounding"] : CAPABILITY_SETS.slice(1);
  const sets = CAPABILITY_SETS.map((set, i) => ({ set, list: capabilityNames(masks[i] ?? 0n) }));
  return sets
    .filter(({ set }) => wanted.includes(set))
    .map(({ set, list }) => `${set} ${list.length === 0 ? "none" : list.join(" ")}`)
    .join("; ");
});
/** Registers are marked by the highest bit. */
const keptFds = data((offset, image, { arguments: [, count] }) => {
  const kept = image.halves(offset, Number(count?.value ?? 0n));
  return `all but 0, 1, 2${kept.map((each) => (each >= 0x8000_0000 ? `, r${each & 0x7fff_ffff}` : `, ${each}`)).join("")}`;
});
const groups = data(
  (offset, image, { arguments: [count] }) => `[${image.halves(offset, Number(count?.value ?? 0n)).join(", ")}]`,
);
const cpus = data((offset, image, { arguments: [, size] }) => {
  const mask = image.bytes(offset, Number(size?.value ?? 0n));
  if (mask.every((byte) => byte === 0xff)) return "all CPUs";
  const set: number[] = [];
  mask.forEach((byte, i) => {
    for (let bit = 0; bit < 8; bit++) if ((byte >> bit) & 1) set.push(i * 8 + bit);
  });
  return `CPUs ${set.join(", ")}`;
});
/** CHECK's third argument means what the second says. */
const expected: Printer = (argument, image, step) => {
  const what = Number(step.arguments[1]?.value ?? 0n);
  const tables = [undefined, names.FILE_TYPES, undefined, undefined, names.MAGICS, names.CLONE_FLAGS];
  const table = tables[what];
  if (what === 2) return device(argument, image, step);
  return table === undefined ? plain(argument) : named(table)(argument, image, step);
};
const formats = named([
  ["i32", 4],
  ["i64", 8],
  ["decimal", 10],
  ["decimal text", 11],
  ["ten digits", 12],
]);
/** So many bytes as the next argument says, which need not be a text's. */
const written = data((offset, image, { arguments: [, , length] }) => {
  const bytes = Buffer.from(image.bytes(offset, Number(length?.value ?? 0n)));
  return bytes.every((byte) => byte >= 0x20 && byte < 0x7f)
    ? JSON.stringify(bytes.toString())
    : `${bytes.length} bytes`;
});
const openBits = immediate((value, image) => flagText(value, names.openFlags(image.architecture)));
const socketType = immediate(
  (value) =>
    `${["", "SOCK_STREAM", "SOCK_DGRAM", "SOCK_RAW"][Number(value & 15n)] ?? value}|${flagText(value & ~15n, [["SOCK_CLOEXEC", 0o2000000]])}`,
);
const place = immediate((value) => `data+${value}`);

const NO_STEP: RawStep = {
  call: "",
  isSystemCall: false,
  register: undefined,
  arguments: [],
  tolerates: [],
  skip: undefined,
};

/** How the arguments of each call and operation are printed; of others all six are plain. */
const SIGNATURES: Readonly<Record<string, readonly Printer[]>> = {
  openat: [fd, text, open, mode],
  openat2: [fd, text, openHow, hidden],
  open_tree: [fd, text, flags(names.OPEN_TREE_FLAGS)],
  move_mount: [fd, text, fd, text, flags(names.MOVE_FLAGS)],
  mount_setattr: [fd, text, flags(names.AT_FLAGS), mountAttr, hidden],
  fsopen: [text, flags([["FSOPEN_CLOEXEC", 1]])],
  fsconfig: [fd, named(names.FSCONFIG_COMMANDS), text, text, hidden],
  fsmount: [fd, flags([["FSMOUNT_CLOEXEC", 1]]), flags(names.MOUNT_ATTRIBUTES)],
  fspick: [
    fd,
    text,
    flags([
      ["FSPICK_CLOEXEC", 1],
      ["FSPICK_EMPTY_PATH", 8],
    ]),
  ],
  pivot_root: [text, text],
  umount2: [text, flags(names.UMOUNT_FLAGS)],
  chdir: [text],
  fchdir: [fd],
  close: [fd],
  dup3: [fd, fd, openBits],
  fcntl: [fd, named(names.FCNTLS), number],
  ioctl: [fd, named(names.IOCTLS), number],
  pipe2: [number, openBits],
  eventfd2: [number, openBits],
  inotify_init1: [openBits],
  socket: [
    named([
      ["AF_UNIX", 1],
      ["AF_INET", 2],
      ["AF_NETLINK", 16],
    ]),
    socketType,
    number,
  ],
  read: [fd, number, number],
  write: [fd, written, hidden],
  unshare: [flags(names.CLONE_FLAGS)],
  setns: [fd, flags(names.CLONE_FLAGS)],
  clone: [flags(names.CLONE_FLAGS), hidden, hidden, hidden, hidden],
  umask: [mode],
  mknodat: [
    fd,
    text,
    immediate((value) => `${flagText(value & 0o170000n, names.FILE_TYPES)}|0${(value & 0o7777n).toString(8)}`),
    device,
  ],
  mkdirat: [fd, text, mode],
  unlinkat: [fd, text, flags(names.AT_FLAGS)],
  symlinkat: [text, fd, text],
  fchown: [fd, id, id],
  fchownat: [fd, text, id, id, flags(names.AT_FLAGS)],
  setresuid: [id, id, id],
  setresgid: [id, id, id],
  setgroups: [number, groups],
  prlimit64: [number, named(names.RLIMITS), limit, hidden],
  prctl: [named(names.PRCTLS), number, number, number, hidden],
  keyctl: [named(names.KEYCTLS), text, immediate((value) => `0x${value.toString(16)}`)],
  seccomp: [named([["SECCOMP_SET_MODE_FILTER", 1]]), flags(names.SECCOMP_FLAGS), filter],
  sched_setaffinity: [number, hidden, cpus],
  sethostname: [text, hidden],
  setdomainname: [text, hidden],
  inotify_add_watch: [fd, text, number],
  clock_gettime: [
    named([
      ["CLOCK_MONOTONIC", 1],
      ["CLOCK_PROCESS_CPUTIME_ID", 2],
    ]),
    number,
  ],
  CLONE: [cloneArgs, hidden, hidden],
  SYNC: [named(names.SYNCS), hidden, fd, number, hidden, hidden],
  PATH: [fd, text, named(names.MISSINGS), mode, flags(names.PATH_FLAGS)],
  CHECK: [fd, named(names.CHECKS), expected],
  CAPS: [capabilities, hidden],
  CWD: [text],
  FIND: [texts, hidden],
  CLOSE: [keptFds, hidden],
  STORE: [number, place, formats],
  LOAD: [place, formats],
  EXEC: [text, argv, environment, fd, number],
  KEEP: [fd, immediate((value) => `slot ${value}`)],
  DROP: [immediate((value) => `slot ${value}`)],
  FIELD: [fd, text, hidden, hidden, hidden, hidden],
  BRANCH: [number, named(names.COMPARISONS), number],
};

/** The arguments of a step for a reader: flags by name, structures opened, texts quoted; what is 0 at the end is left out. */
export function printArguments(step: RawStep, image: ProgramImage): string[] {
  const signature = SIGNATURES[step.call];
  const last = step.arguments.findLastIndex(({ kind, value }) => kind !== "immediate" || value !== 0n);
  const given = step.arguments.slice(0, Math.max(last + 1, Math.min(signature?.length ?? 0, minimum(step.call))));
  return given.flatMap((argument, i) => (signature?.[i] ?? plain)(argument, image, step) ?? []);
}

/** So many arguments mean something even if the last ones are 0. Others: one. */
const MEANINGFUL: Readonly<Record<string, number>> = {
  openat: 3,
  dup3: 2,
  KEEP: 2,
  setresuid: 3,
  setresgid: 3,
  CHECK: 3,
  BRANCH: 3,
  DROP: 1,
};

function minimum(call: string): number {
  return MEANINGFUL[call] ?? 1;
}
