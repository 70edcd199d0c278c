import { chmod, copyFile, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";

const BUSYBOX = "/bin/busybox"; // of Debian's busybox-static: one file, no libraries
const APPLETS = ["sh", "cat", "echo", "hostname", "id", "ls", "ps", "sleep", "true", "uname"];

/** A root filesystem of one program, made new in `directory`. */
export async function makeBusyboxRootfs(directory: string): Promise<void> {
  for (const name of ["bin", "dev", "etc", "proc", "run", "sys", "tmp"]) {
    await mkdir(join(directory, name), { recursive: true });
  }
  await chmod(join(directory, "tmp"), 0o1777);
  await copyFile(BUSYBOX, join(directory, "bin/busybox"));
  await chmod(join(directory, "bin/busybox"), 0o755);
  await Promise.all(APPLETS.map((name) => symlink("busybox", join(directory, "bin", name))));
  await writeFile(join(directory, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
}
