import { chmodSync, copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const APPLETS = [
  "sh",
  "ls",
  "cat",
  "id",
  "stat",
  "readlink",
  "mount",
  "sleep",
  "tty",
  "stty",
  "hostname",
  "touch",
  "env",
  "pwd",
  "true",
  "grep",
  "echo",
  "mkdir",
  "chroot",
  "ip",
  "test",
  "dd",
  "unshare",
  "head",
];

/** A rootfs with busybox, /etc/passwd with two users, and nothing else. */
export function makeRootfs(root: string): void {
  for (const folder of ["bin", "etc", "tmp", "proc", "sys", "dev"]) mkdirSync(join(root, folder), { recursive: true });
  chmodSync(join(root, "tmp"), 0o1777);
  copyFileSync("/bin/busybox", join(root, "bin/busybox"));
  for (const applet of APPLETS) {
    writeFileSync(join(root, "bin", applet), `#!/bin/busybox sh\nexec /bin/busybox ${applet} "$@"\n`, { mode: 0o755 });
  }
  rmSync(join(root, "bin/sh"));
  copyFileSync("/bin/busybox", join(root, "bin/sh"));
  writeFileSync(
    join(root, "etc/passwd"),
    "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\nempty:x:1001:1001:::\n",
  );
}
