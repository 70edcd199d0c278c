import assert from "node:assert/strict";
import { test } from "node:test";
import { toApplyTarget } from "./apply-target.ts";
import type { Mount } from "./mount.ts";
import { isBind, toMountFlags } from "./mount-flags.ts";
import { escapeOverlay, parseOverlayOptions } from "./overlay-options.ts";

const bind = (...options: string[]): Mount => ({ type: "bind", source: "/s", target: "", options });
const overlay = (...options: string[]): Mount => ({ type: "overlay", source: "overlay", target: "", options });

test("an overlay's upper directory and a writable bind are unpacked into directly, all else is mounted", () => {
  const active = overlay("workdir=/w", "upperdir=/u", "lowerdir=/b:/a", "index=off");
  assert.deepEqual(toApplyTarget([active]), { kind: "upper", directory: "/u", lowers: ["/b", "/a"] });
  assert.deepEqual(toApplyTarget([bind("rw", "rbind")]), { kind: "directory", directory: "/s" });
  const others: Mount[][] = [
    [bind("ro", "rbind")],
    [bind("rw", "ro")],
    [overlay("lowerdir=/b:/a")],
    [{ ...bind("rw"), target: "sub" }],
    [active, bind("rw")],
    [{ type: "tmpfs", source: "tmpfs", target: "", options: [] }],
    [],
  ];
  for (const mounts of others) assert.deepEqual(toApplyTarget(mounts), { kind: "mounts", mounts });
  assert.throws(() => toApplyTarget([overlay("upperdir=/u")]), /overlay without lowerdir/);
});

test("overlay's options: the last one counts, colons can be in names", () => {
  const name = "/a:b,c\\d";
  const parsed = parseOverlayOptions(overlay("lowerdir=/old", `lowerdir=${escapeOverlay(name)}:/z`, "userxattr"));
  assert.deepEqual(parsed.lowers[0], name);
  assert.deepEqual(parsed, { upper: undefined, work: undefined, lowers: [name, "/z"], others: ["userxattr"] });
});

test("options of mount(8) become bits, the last one wins, and the rest is the file system's", () => {
  const { flags, data } = toMountFlags(["ro", "nosuid", "size=1m", "rw", "noatime", "suid", "rbind", "defaults"]);
  assert.deepEqual([flags, data], [0x400 | 0x1000 | 0x4000, ["size=1m"]]);
  assert.equal(isBind(flags), true);
  assert.equal(isBind(toMountFlags(["ro"]).flags), false);
});
