import { chmod, chown, copyFile, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runProgram } from "../host/program.ts";

/** Where Debian, Alpine and Fedora have it. */
const PLACES = ["/bin/busybox", "/usr/bin/busybox", "/bin/busybox.static", "/usr/sbin/busybox", "/sbin/busybox"];

const FOLDERS = ["bin", "dev", "etc", "home", "proc", "root", "run", "sys", "usr", "var"];

/** Make a small rootfs of a static busybox in a folder that is empty or not there. Throws with what to do if there is no such busybox. */
export async function makeRootfs(folder: string): Promise<void> {
  const busybox = await findBusybox();
  for (const name of FOLDERS) await mkdir(join(folder, name), { recursive: true });
  await mkdir(join(folder, "tmp"));
  await chmod(join(folder, "tmp"), 0o1777);
  await chown(folder, 0, 0);
  await copyFile(busybox, join(folder, "bin/busybox"));
  await chmod(join(folder, "bin/busybox"), 0o755);
  const applets = (await runProgram(busybox, "--list")).trim().split("\n");
  for (const name of applets) if (name !== "busybox") await symlink("busybox", join(folder, "bin", name));
  await writeFile(join(folder, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
  await writeFile(join(folder, "etc/group"), "root:x:0:\n");
}

async function findBusybox(): Promise<string> {
  for (const path of PLACES) {
    const bytes = await readFile(path).catch(() => undefined);
    if (bytes !== undefined && isStatic(bytes)) return path;
  }
  throw new Error("no static busybox for a rootfs: apt-get install busybox-static, or give a folder with --rootfs");
}

/** Whether a 64-bit little-endian ELF file needs no dynamic loader. */
export function isStatic(elf: Buffer): boolean {
  const isElf64 = elf.length > 64 && elf.readUInt32BE(0) === 0x7f454c46 && elf[4] === 2 && elf[5] === 1;
  if (!isElf64) return false;
  const tableAt = Number(elf.readBigUInt64LE(32));
  const [entryBytes, entries] = [elf.readUInt16LE(54), elf.readUInt16LE(56)];
  const INTERPRETER = 3;
  for (let at = tableAt; at < tableAt + entries * entryBytes; at += entryBytes)
    if (elf.readUInt32LE(at) === INTERPRETER) return false;
  return true;
}
