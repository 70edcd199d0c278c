const MS = {
  rdonly: 0x1,
  nosuid: 0x2,
  nodev: 0x4,
  noexec: 0x8,
  synchronous: 0x10,
  remount: 0x20,
  dirsync: 0x80,
  noatime: 0x400,
  nodiratime: 0x800,
  bind: 0x1000,
  rec: 0x4000,
  private: 0x40000,
  relatime: 0x200000,
  strictatime: 0x1000000,
} as const;

/** Bits of mount(2) that are asked for by more than an option. */
export const MS_REMOUNT_READONLY_BIND = MS.remount | MS.bind | MS.rdonly;
export const MS_PRIVATE_RECURSIVE = MS.private | MS.rec;
export const MS_RDONLY = MS.rdonly;
/** umount2(2): with all that is mounted below, at once or when the last user goes. */
export const MNT_DETACH = 2;

/** Option names of mount(8): the bits that they set, and the ones that they clear. */
const FLAGS: Readonly<Record<string, readonly [set: number, clear: number]>> = {
  bind: [MS.bind, 0],
  rbind: [MS.bind | MS.rec, 0],
  ro: [MS.rdonly, 0],
  rw: [0, MS.rdonly],
  nosuid: [MS.nosuid, 0],
  suid: [0, MS.nosuid],
  nodev: [MS.nodev, 0],
  dev: [0, MS.nodev],
  noexec: [MS.noexec, 0],
  exec: [0, MS.noexec],
  sync: [MS.synchronous, 0],
  async: [0, MS.synchronous],
  dirsync: [MS.dirsync, 0],
  noatime: [MS.noatime, 0],
  atime: [0, MS.noatime],
  nodiratime: [MS.nodiratime, 0],
  diratime: [0, MS.nodiratime],
  relatime: [MS.relatime, 0],
  norelatime: [0, MS.relatime],
  strictatime: [MS.strictatime, 0],
  nostrictatime: [0, MS.strictatime],
  defaults: [0, 0],
};

/** Options as mount(2) takes them: known names become bits, the rest goes to the file system. Later ones win. */
export function toMountFlags(options: readonly string[]): { readonly flags: number; readonly data: readonly string[] } {
  let flags = 0;
  const data: string[] = [];
  for (const option of options) {
    const bits = FLAGS[option];
    if (bits === undefined) data.push(option);
    else flags = (flags & ~bits[1]) | bits[0];
  }
  return { flags, data };
}

/** Whether it is a bind mount, recursive or not. */
export function isBind(flags: number): boolean {
  return (flags & MS.bind) !== 0;
}
