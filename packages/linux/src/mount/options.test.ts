import assert from "node:assert/strict";
import { test } from "node:test";
import { ATTR } from "./mount.ts";
import { parseMountOptions } from "./options.ts";
import { overlayParameters, overlayText } from "./overlay.ts";

const parse = (...options: string[]) => parseMountOptions(options, () => "mounts[0]");

test("the last of two contradicting words wins", () => {
  assert.deepEqual(parse("ro", "rw").attributes, { set: 0, clear: ATTR.rdonly });
  assert.deepEqual(parse("rw", "ro").attributes, { set: ATTR.rdonly, clear: 0 });
  assert.deepEqual(parse("noatime", "strictatime").attributes, { set: ATTR.strictatime, clear: ATTR.atimeMask });
  assert.deepEqual(parse("strictatime", "relatime").attributes, { set: 0, clear: ATTR.atimeMask });
  assert.deepEqual(parse("sync", "async").superblock, []);
});

test("recursive words, propagation, binds, data", () => {
  const options = parse(
    "rbind",
    "rro",
    "rnosuid",
    "ro",
    "rslave",
    "shared",
    "size=4k",
    "newinstance",
    "X-containerd.a=b",
    "defaults",
  );
  assert.equal(options.bind, "rbind");
  assert.deepEqual(options.recursive, { set: ATTR.rdonly | ATTR.nosuid, clear: 0 });
  assert.deepEqual(options.attributes, { set: ATTR.rdonly, clear: 0 });
  assert.deepEqual(options.propagation, [
    { flag: 0x80000, recursive: true },
    { flag: 0x100000, recursive: false },
  ]);
  assert.deepEqual(options.data, [
    { key: "size", value: "4k" },
    { key: "newinstance", value: undefined },
  ]);
  assert.deepEqual(parse("lowerdir=/a=b").data, [{ key: "lowerdir", value: "/a=b" }]);
});

test("what this version cannot do is an error", () => {
  for (const option of ["loop", "src-nofollow", "idmap=x", "uidmap=0:0:1", "gidmap=0:0:1", "=x"]) {
    assert.throws(() => parse(option), { name: "InvalidSpec", message: /^mounts\[0\]( "[^"]+")?: / });
  }
});

test("id mappings and copies", () => {
  const options = parse("bind", "ridmap", "uidmap=0:100000:10,10:5:1", "gidmap=0:200000:10");
  assert.equal(options.idmap, "ridmap");
  assert.deepEqual(options.idMappings, {
    uids: [
      { containerId: 0, hostId: 100000, size: 10 },
      { containerId: 10, hostId: 5, size: 1 },
    ],
    gids: [{ containerId: 0, hostId: 200000, size: 10 }],
  });
  assert.equal(parse("tmpcopyup").copyUp, true);
  for (const bad of ["0:0", "0:0:0", "0:-1:1", "0:4294967295:1", "a:0:1", ""])
    assert.throws(() => parse(`uidmap=${bad}`, "gidmap=0:0:1"), /not ID:ID:SIZE/);
});

test("every attribute word sets or clears one thing", () => {
  for (const [word, opposite] of [
    ["ro", "rw"],
    ["nosuid", "suid"],
    ["nodev", "dev"],
    ["noexec", "exec"],
    ["nosymfollow", "symfollow"],
    ["nodiratime", "diratime"],
  ] as const) {
    assert.equal(parse(word).attributes.set, parse(opposite).attributes.clear);
    assert.deepEqual(parse(`r${word}`).recursive, parse(word).attributes);
  }
});

test("overlay: a long list of layers goes one by one", () => {
  const overlay = (lowerdir: string, layerByLayer = true, commas = true) =>
    overlayParameters([{ key: "lowerdir", value: lowerdir }], { layerByLayer, commas });
  assert.deepEqual(overlay("/a:/b"), [{ key: "lowerdir", value: "/a:/b" }]);
  const long = `/${"x".repeat(240)}`;
  assert.deepEqual(
    overlay(`${long}:/with\\:colon:/b::/data`)?.map(({ key, value }) => [key, value]),
    [
      ["lowerdir+", long],
      ["lowerdir+", "/with:colon"],
      ["lowerdir+", "/b"],
      ["datadir+", "/data"],
    ],
  );
  assert.equal(overlay(`${long}:${long}`, false), undefined);
  assert.equal(overlay(`/${"x".repeat(256)}:/b`), undefined);
  assert.equal(overlay("/a,b", true, false), undefined);
});

test("overlay: what fsconfig does not take is a list for mount, relative to the layers' directory", () => {
  const text = (lowerdir: string, ...more: { key: string; value: string | undefined }[]) =>
    overlayText([...more, { key: "lowerdir", value: lowerdir }], () => "rootfs[0]");
  const upper = { key: "upperdir", value: "/s/9/fs,x" };
  assert.deepEqual(
    text("/s/12/fs:/s/3/fs", { key: "index", value: "off" }, upper, { key: "userxattr", value: undefined }),
    {
      directory: "/s",
      text: "index=off,upperdir=/s/9/fs\\,x,userxattr,lowerdir=12/fs:3/fs",
    },
  );
  assert.deepEqual(text("/a:/b"), { directory: "", text: "lowerdir=a:b" });
  assert.deepEqual(text("/s/a\\:b/c,d:/s/a\\:b/e::/s/a\\:b/f"), { directory: "/s/a:b", text: "lowerdir=c\\,d:e::f" });
  assert.deepEqual(text("/sx/1:/s/1"), { directory: "", text: "lowerdir=sx/1:s/1" });
  const many = Array.from({ length: 400 }, (_, i) => `/var/lib/containerd/snapshots/${1000 + i}/fs`).join(":");
  assert.equal(text(many).directory, "/var/lib/containerd/snapshots");
  assert.throws(
    () => text(`${many}:${many}`),
    /^InvalidSpec: rootfs\[0\]: the options are longer than a kernel takes \(4095 bytes\)$/,
  );
});
