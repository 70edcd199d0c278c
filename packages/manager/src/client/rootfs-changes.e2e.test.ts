import assert from "node:assert/strict";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { loadSyscalls } from "../host/syscalls.ts";
import { loadLayerLibc } from "../layers/libc.ts";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { rootfsChanges } from "./rootfs-changes.ts";

const S_IFCHR = 0o020000;

test("an upper directory over two lower ones: added, copied up, whited out, opaque, hidden twice", () => {
  using directory = temporaryDirectory();
  const [upper, top, bottom] = ["upper", "top", "bottom"].map((name) => join(directory.path, name));
  if (upper === undefined || top === undefined || bottom === undefined) throw new Error("unreachable");
  const syscalls = loadSyscalls();
  const file = (root: string, path: string) => {
    mkdirSync(join(root, path, ".."), { recursive: true });
    writeFileSync(join(root, path), path);
  };
  const whiteout = (root: string, path: string) => syscalls.mknod(join(root, path), S_IFCHR, 0, 0);
  for (const path of ["etc/passwd", "etc/old", "lib/a", "gone-below"]) file(bottom, path);
  for (const path of ["etc/passwd", "lib/b"]) file(top, path);
  whiteout(top, "gone-below");
  for (const path of ["etc/passwd", "etc/new", "lib/c", "gone-below"]) file(upper, path);
  whiteout(upper, "etc/old");
  whiteout(upper, "never-was");
  syscalls.lsetxattr(join(upper, "lib"), "trusted.overlay.opaque", Buffer.from("y"));
  symlinkSync("/etc", join(upper, "link")); // of the host: must not be followed

  const changes = [...rootfsChanges({ upper, lowers: [top, bottom] }, loadLayerLibc())];
  assert.deepEqual(
    changes.map(({ path, kind, lower }) => [path, kind, lower]),
    [
      ["/etc", "copied-up", 0],
      ["/etc/new", "added", undefined],
      ["/etc/old", "deleted", 1],
      ["/etc/passwd", "copied-up", 0],
      ["/gone-below", "added", undefined],
      ["/lib", "replaced", 0],
      ["/lib/c", "added", undefined],
      ["/link", "added", undefined],
    ],
  );
});
