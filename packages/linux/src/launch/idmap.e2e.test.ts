import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { MappedFolder } from "./testing/mapped-folder.ts";
import { configure, MAPS, openMappedPod, run, USER } from "./testing/namespaces.ts";
import type { TestPod } from "./testing/pod.ts";
import { makeRootfs } from "./testing/rootfs.ts";

let base: MappedFolder;
let pod: TestPod;
let tree: string;
before(async () => {
  base = new MappedFolder();
  pod = await openMappedPod(base.path);
  tree = join(pod.folder, "tree");
  mkdirSync(join(tree, "sub"), { recursive: true });
  writeFileSync(join(tree, "file"), "");
  chownSync(join(tree, "file"), 1, 2);
});
after(async () => {
  await pod[Symbol.asyncDispose]();
  base[Symbol.dispose]();
});

const PLAIN = ["mount", "pid", "network", "ipc", "uts"].map((type) => ({ type }));
const line = (containerID: number, hostID: number, size: number) => ({ containerID, hostID, size });

function mapped(destination: string, options: readonly string[], more: object = {}) {
  return { destination, type: "bind", source: tree, options: ["rbind", ...options], ...more };
}

test("a bind with lines of its own: what is 1:2 on disk is 1001:2002; what is written goes back", async () => {
  const maps = { uidMappings: [line(0, 1000, 100)], gidMappings: [line(0, 2000, 100)] };
  const script = "stat -c %u:%g /m/file /plain/file; touch /m/new; chown 1005:2006 /m/new; stat -c %u:%g /m/sub";
  const config = configure(script, PLAIN, (config) => {
    config.mounts.push(mapped("/m", [], maps), mapped("/plain", []));
  });
  const { stdout, stderr, failure } = await run(pod, config);
  assert.equal(failure, undefined);
  assert.equal(stderr.replace(/touch: .*\n/, ""), "chown: /m/new: No such file or directory\n"); // root, 0, is no id of the mount's
  assert.equal(stdout, "1001:2002\n1:2\n1000:2000\n");
});

test("idmap takes the container's map, ridmap reaches what is mounted below, idmap does not", async () => {
  base.mount(join(tree, "sub"));
  try {
    const config = configure(
      "stat -c %u /one/file /one/sub /all/file /all/sub",
      USER.map((type) => ({ type })),
      (config) => {
        Object.assign(config.linux, MAPS);
        config.process.user = { uid: 0, gid: 0 };
        config.mounts.push(mapped("/one", ["idmap"]), mapped("/all", ["ridmap"]));
      },
    );
    const { stdout, failure } = await run(pod, config);
    assert.equal(failure, undefined);
    assert.equal(stdout, "1\n65534\n1\n0\n");
  } finally {
    execFileSync("umount", [join(tree, "sub")]);
  }
});

test("id mappings that cannot be had are errors that name the mount", async () => {
  const cases: [object, RegExp][] = [
    [mapped("/m", ["idmap"]), /^mounts\[7\] "\/m" "idmap": no id mappings, and no user namespace to take them from$/],
    [
      { destination: "/m", type: "tmpfs", source: "tmpfs", options: ["uidmap=0:1:1", "gidmap=0:1:1"] },
      /^mounts\[7\] "\/m": only a bind takes id mappings$/,
    ],
    [
      mapped("/m", [], { uidMappings: [line(0, 0, 10), line(5, 50, 10)], gidMappings: [line(0, 0, 1)] }),
      /^mounts\[7\] "\/m": the id mappings overlap or are empty \(EINVAL from write the maps\)$/,
    ],
    [
      {
        ...mapped("/m", ["idmap"], { uidMappings: [line(0, 5, 1)], gidMappings: [line(0, 5, 1)] }),
        source: "/proc/sys",
      },
      /^mounts\[7\] "\/m": the file system takes no id mappings \(EINVAL from map ids\)$/,
    ],
  ];
  for (const [mount, message] of cases) {
    const config = configure("true", PLAIN, (config) => {
      config.mounts.push(mount as (typeof config.mounts)[number]);
    });
    const failure = await run(pod, config).then(
      (outcome) => outcome.failure ?? "",
      (error: Error) => error.message,
    );
    assert.match(failure, message);
  }
});

test("Create's bind root with uidmap and gidmap", async () => {
  const root = {
    type: "bind",
    source: pod.path(),
    target: "",
    options: ["rbind", "uidmap=0:70000:65536", "gidmap=0:70000:65536"],
  };
  const config = configure("stat -c %u:%g /bin", PLAIN);
  const container = await pod.create(config, { rootfs: [root] });
  const { stdout, failure } = await container.end();
  assert.equal(failure, undefined);
  assert.equal(stdout, "70000:70000\n");
  assert.equal(statSync(pod.path("bin")).uid, 0);
});

test("Create's overlay root with uidmap and gidmap: the layers' ids are the container's, in its user namespace", async () => {
  const layers = ["lower", "second:colon", "upper", "work"].map((name) => join(pod.folder, name));
  const [lower = "", second = "", upper = "", work = ""] = layers;
  for (const layer of [second, upper, work]) mkdirSync(layer);
  makeRootfs(lower);
  writeFileSync(join(second, "owned"), "");
  chownSync(join(second, "owned"), 7, 8);
  for (const path of [upper, work]) chownSync(path, 100000, 200000);
  chmodSync(pod.folder, 0o711);
  const options = [
    `lowerdir=${second.replace(":", "\\:")}:${lower}`,
    `upperdir=${upper}`,
    `workdir=${work}`,
    ...["uidmap=0:100000:65536", "gidmap=0:200000:65536"],
  ];
  const before = pod.hostMounts();
  const config = configure(
    "stat -c %u:%g /bin /owned; touch /new; stat -c %u:%g /new; id -u",
    USER.map((type) => ({ type })),
    (config) => {
      Object.assign(config.linux, MAPS);
      config.process.user = { uid: 0, gid: 0 };
    },
  );
  const container = await pod.create(config, { rootfs: [{ type: "overlay", source: "overlay", target: "", options }] });
  const { stdout, failure } = await container.end();
  assert.equal(failure, undefined);
  assert.equal(stdout, "0:0\n7:8\n0:0\n0\n");
  assert.equal(statSync(join(upper, "new")).uid, 100000);
  assert.equal(statSync(join(second, "owned")).uid, 7);
  assert.equal(pod.hostMounts(), before);
});

test("tmpcopyup: owners, modes, links, attributes come along; an empty and a missing directory, too", async () => {
  const full = pod.path("full");
  mkdirSync(join(full, "deep"), { recursive: true, mode: 0o750 });
  writeFileSync(join(full, "deep/file"), "content\n", { mode: 0o640 });
  chownSync(join(full, "deep/file"), 12, 34);
  symlinkSync("/etc/shadow", join(full, "link"));
  execFileSync("chmod", ["2751", full]);
  mkdirSync(pod.path("void"));
  const tmpfs = (destination: string) => ({
    destination,
    type: "tmpfs",
    source: "tmpfs",
    options: ["nosuid", "tmpcopyup", "ro"],
  });
  const script =
    "stat -c '%a %u:%g' /full/deep /full/deep/file; cat /full/deep/file; readlink /full/link; ls /void /missing; grep -c ' - tmpfs tmpfs ro' /proc/self/mountinfo; touch /full/x";
  const config = configure(script, PLAIN, (config) => {
    config.mounts.push(tmpfs("/full"), tmpfs("/void"), tmpfs("/missing"));
  });
  const { stdout, stderr, failure } = await run(pod, config);
  assert.equal(failure, undefined);
  assert.equal(stdout.replace(/[0-9]+\n$/, ""), "750 0:0\n640 12:34\ncontent\n/etc/shadow\n/missing:\n\n/void:\n");
  assert.equal(stderr, "touch: /full/x: Read-only file system\n");
  const bind = configure("true", PLAIN, (config) => {
    config.mounts.push(mapped("/m", ["tmpcopyup"]));
  });
  await assert.rejects(run(pod, bind), /mounts\[7\] "\/m": only a tmpfs takes tmpcopyup/);
});
