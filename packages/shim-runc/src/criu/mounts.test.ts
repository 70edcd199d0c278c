import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { parseSpec } from "@trimaran/linux";
import { externalMounts, maskedFiles, maybeMasked, mountPoints } from "./mounts.ts";

let bundle: string;
before(() => {
  bundle = mkdtempSync(join(tmpdir(), "criu-mounts-"));
  mkdirSync(join(bundle, "folder"));
  writeFileSync(join(bundle, "file"), "");
});
after(() => rmSync(bundle, { recursive: true, force: true }));

const specWith = (namespaces: readonly string[]) =>
  parseSpec(
    JSON.stringify({
      ociVersion: "1.0.2",
      root: { path: "rootfs" },
      mounts: [
        { destination: "/proc", type: "proc", source: "proc" },
        { destination: "/dev", type: "tmpfs", source: "tmpfs" },
        { destination: "/dev/shm", type: "tmpfs", source: "shm" },
        { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro"] },
        { destination: "/etc/file", type: "bind", source: "file", options: ["rbind"] },
        { destination: "/folder", type: "none", source: "folder", options: ["bind"] },
        { destination: "/folder", type: "none", source: "", options: ["remount", "bind", "ro"] },
        { destination: "/far", type: "bind", source: "/srv", options: [] },
      ],
      linux: {
        namespaces: ["mount", "pid", ...namespaces].map((type) => ({ type })),
        maskedPaths: ["/proc/kcore", "/proc/acpi"],
      },
    }),
  );
const cgroups = [
  { name: "cpu", path: "/sys/fs/cgroup/cpu/ns/c" },
  { name: "", path: "/sys/fs/cgroup/ns/c" },
];

test("binds are the host's, relative ones in the bundle; cgroup mounts as well, unless they are seen from an own namespace", () => {
  const binds = [
    { target: "/etc/file", source: join(bundle, "file") },
    { target: "/folder", source: join(bundle, "folder") },
    { target: "/far", source: "/srv" },
  ];
  assert.deepEqual(externalMounts({ spec: specWith(["cgroup"]), bundle, cgroups }), binds);
  assert.deepEqual(externalMounts({ spec: specWith([]), bundle, cgroups }), [
    { target: "/sys/fs/cgroup/cpu", source: "/sys/fs/cgroup/cpu/ns/c" },
    { target: "/sys/fs/cgroup", source: "/sys/fs/cgroup/ns/c" },
    ...binds,
  ]);
});

test("masked files are those over which /dev/null lies", () => {
  const spec = specWith([]);
  const mountinfo = [
    "98 97 0:6 /null /proc/kcore ro,nosuid - devtmpfs udev rw",
    "99 97 0:48 / /proc/acpi ro,relatime - tmpfs tmpfs ro,nr_inodes=1",
    "99 97 0:6 /null /proc/other ro,relatime - devtmpfs udev rw",
    "",
  ].join("\n");
  assert.deepEqual(maskedFiles(spec, mountinfo), ["/proc/kcore"]);
  assert.deepEqual(
    maybeMasked(spec).map(({ target, source }) => `${target} ${source}`),
    ["/dev/null /dev/null", "/proc/kcore /dev/null", "/proc/acpi /dev/null"],
  );
});

test("places to mount on: files for files, and nothing below another mount", () => {
  const points = mountPoints({ spec: specWith([]), bundle, cgroups }).map(({ path, isFile }) => `${path} ${isFile}`);
  assert.deepEqual(
    [...new Set(points)],
    ["/proc false", "/dev false", "/sys/fs/cgroup false", "/etc/file true", "/folder false", "/far false"],
  );
});
