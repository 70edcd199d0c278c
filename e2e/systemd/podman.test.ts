import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { BUILD_BIN } from "../harness/containerd.ts";
import { buildRootfs } from "../harness/images.ts";
import { type Finished, run, runOk } from "../harness/process.ts";
import { showUnit, unitsNamed } from "./unit.ts";

const IMAGE = "localhost/test:1";
const COMMON = ["--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"];

test("podman with the cgroup manager that it has by default: run, exec, update of a scope, and its end", async () => {
  const folder = await mkdtemp(join(tmpdir(), "podman-systemd-"));
  const flags = [
    ...["--root", join(folder, "storage"), "--runroot", join(folder, "run"), "--tmpdir", join(folder, "tmp")],
    ...["--storage-driver", "vfs", "--events-backend", "none", "--runtime", join(BUILD_BIN, "trimaran-oci")],
  ];
  const podman = async (...words: readonly string[]): Promise<Finished> => {
    const done = await run(["podman", ...flags, ...words], {
      env: { ...process.env, HOME: "/root" },
      timeoutMs: 120_000,
    });
    assert.equal(done.code, 0, `podman ${words.join(" ")}: ${done.stderr}`);
    return done;
  };
  try {
    assert.equal((await podman("info", "--format", "{{.Host.CgroupManager}}")).stdout.trim(), "systemd");
    const archive = join(folder, "image.tar");
    await runOk(["tar", "-C", await buildRootfs(), "-cf", archive, "."]);
    await podman("import", archive, IMAGE);
    const limits = ["--memory", "40m", "--pids-limit", "17"];
    const id = (await podman("run", "--detach", ...COMMON, ...limits, IMAGE, "sleep", "1000")).stdout.trim();
    const unit = `libpod-${id}.scope`;
    assert.deepEqual(await showUnit(unit, "ActiveState", "Slice", "MemoryMax", "TasksMax"), {
      ...{ ActiveState: "active", Slice: "machine.slice", MemoryMax: String(40 << 20), TasksMax: "17" },
    });
    assert.equal((await podman("exec", id, "cat", "/proc/1/comm")).stdout, "sleep\n");
    await podman("rm", "--force", "--time", "0", id);
    assert.deepEqual(await unitsNamed(unit), []);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
