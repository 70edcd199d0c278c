import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { InvalidSpec, parseSpec } from "@trimaran/linux";
import { findHostDisk, type GuestDisk, isGuestDisk, planDisks } from "./disks.ts";
import { toGuestSpec } from "./guest-spec.ts";
import { list, object } from "./json.ts";

const block = (path: string, minor: number) => ({ path, type: "b", major: 7, minor, fileMode: 0o640, uid: 1, gid: 2 });
const DENY = { allow: false, access: "rwm" };
const allow = (minor: number, access: string) => ({ allow: true, type: "b", major: 7, minor, access });
const spec = (linux: object, mounts: object[] = []) => ({
  ociVersion: "1.0.2",
  root: { path: "rootfs" },
  mounts,
  linux: { namespaces: [{ type: "mount" }], ...linux },
});
const plan = (from: ReturnType<typeof spec>) => planDisks(parseSpec(JSON.stringify(from)));

test("a container's block devices, as its cgroup's rules let it use them", () => {
  const devices = [{ path: "/dev/fuse", type: "c", major: 10, minor: 229 }, block("/dev/a", 1), block("/dev/b", 300)];
  const rules = [DENY, allow(1, "rwm"), allow(300, "rm")];
  const found = plan(spec({ devices, resources: { devices: rules } }));
  assert.deepEqual(
    found.map(({ list, index, field, major, minor, access }) => [list, index, field, `${major}:${minor}`, access]),
    [
      ["devices", 1, 'linux.devices[1] "/dev/a"', "7:1", "rw"],
      ["devices", 2, 'linux.devices[2] "/dev/b"', "7:300", "r"],
    ],
  );
  assert.equal(plan(spec({ devices, resources: { devices: [DENY] } }))[0]?.access, "");
  assert.equal(plan(spec({ devices, resources: { devices: [{ allow: true, access: "rwm" }] } }))[0]?.access, "rw");
  assert.deepEqual(plan(spec({}, [{ destination: "/x", type: "bind", source: "/dev/null", options: ["rbind"] }])), []);
  assert.deepEqual(plan(spec({}, [{ destination: "/x", type: "ext4", source: "/dev/none" }])), []);
});

test("in the guest they have its numbers and names, and nothing but them may be used", () => {
  const mounts = [
    { destination: "/raw", type: "bind", source: "/dev/vdz", options: ["rbind", "rprivate", "ro"] },
    { destination: "/data", type: "ext4", source: "/dev/vdy", options: ["noatime"] },
  ];
  const resources = { devices: [DENY, allow(1, "rwm")], pids: { limit: 5 } };
  const disk = (list: "devices" | "mounts", index: number, name: string, minor: number, access: string): GuestDisk => {
    const wanted = { list, index, field: "f", major: 7, minor: index, access };
    return { ...wanted, name, inGuest: { major: 8, minor } };
  };
  const disks = [
    disk("devices", 0, "sda", 0, "rw"),
    disk("mounts", 0, "sdb", 16, "r"),
    disk("mounts", 1, "sdc", 32, "rw"),
    disk("devices", 1, "sdd", 48, ""),
  ];
  const devices = [block("/dev/a", 1), block("/dev/none", 9)];
  const guest = toGuestSpec(spec({ devices, resources }, mounts), { id: "web", volumes: [], disks });
  parseSpec(JSON.stringify(guest));
  const linux = object(guest.linux);
  assert.deepEqual(list(linux.devices)[0], { ...devices[0], major: 8, minor: 0 });
  const rule = (minor: number, access: string) => ({ allow: true, type: "b", major: 8, minor, access });
  assert.deepEqual(linux.resources, { pids: { limit: 5 }, devices: [rule(0, "rw"), rule(16, "r"), rule(32, "rw")] });
  assert.deepEqual(guest.mounts, [
    { destination: "/raw", type: "bind", source: "/dev/sdb", options: ["rbind", "ro"] },
    { destination: "/data", type: "ext4", source: "/dev/sdc", options: ["noatime"] },
  ]);
});

test("what no kernel would call a disk is no answer", () => {
  assert.ok(isGuestDisk({ name: "sdaa", major: 65, minor: 0 }));
  for (const name of ["", "sda1", "../vda", "vda", "sda\n", "sdabcde"])
    assert.ok(!isGuestDisk({ name, major: 8, minor: 0 }), name);
  assert.ok(
    !isGuestDisk({ name: "sda", major: 4096, minor: 0 }) && !isGuestDisk({ name: "sda", major: 8, minor: 1 << 20 }),
  );
});

test("a number that the host has not, or whose node is another one, is refused by field", () => {
  const root = `${mkdtempSync(join(tmpdir(), "trm-disks-"))}/`;
  const wanted = {
    list: "devices",
    index: 0,
    field: 'linux.devices[0] "/dev/x"',
    major: 7,
    minor: 1,
    access: "rw",
  } as const;
  const refused = (message: RegExp) => (error: unknown) => error instanceof InvalidSpec && message.test(error.message);
  try {
    assert.throws(
      () => findHostDisk(wanted, root),
      refused(/^linux\.devices\[0\] "\/dev\/x": this host has no block device 7:1 /),
    );
    mkdirSync(join(root, "sys/dev/block/7:1"), { recursive: true });
    mkdirSync(join(root, "dev"));
    writeFileSync(join(root, "sys/dev/block/7:1/uevent"), "MAJOR=7\nDEVNAME=loop1\n");
    writeFileSync(join(root, "dev/loop1"), "");
    assert.throws(() => findHostDisk(wanted, root), refused(/loop1 is another device/));
  } finally {
    rmSync(root, { recursive: true });
  }
});
