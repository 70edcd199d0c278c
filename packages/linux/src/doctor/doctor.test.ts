import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { lazyNative } from "../syscall/native.ts";
import { checkCgroups, checkLimits } from "./host.ts";
import { checkCall, checkKernel } from "./kernel.ts";

test("the kernel that runs this has what we need, and every check that is not ok has a fix", () => {
  const checks = [...checkKernel(lazyNative()), ...checkCgroups(), ...checkLimits()];
  const byName = new Map(checks.map((check) => [check.name, check]));
  for (const name of ["openat2", "clone3", "mount_setattr", "overlayfs", "seccomp filters", "namespace mnt", "mode"])
    assert.equal(byName.get(name)?.status, "ok", JSON.stringify(byName.get(name)));
  for (const check of checks) assert.equal(check.fix === undefined, check.status === "ok", JSON.stringify(check));
});

test("a missing call is a problem, and names the kernel that has it", () => {
  const { status, fix } = checkCall("openat2", "5.6", -38);
  assert.deepEqual([status, fix], ["problem", "a kernel of 5.6 or later"]);
  assert.match(checkCall("openat2", "5.6", -1).found, /seccomp/);
  assert.equal(checkCall("openat2", "5.6", -14).status, "ok");
});

test("a low limit is a note with the command that raises it", () => {
  const sysctls = mkdtempSync(join(tmpdir(), "sysctls-"));
  try {
    for (const [file, text] of [
      ["fs/inotify/max_user_instances", "128\n"],
      ["kernel/pid_max", "4194304\n"],
    ] as const) {
      mkdirSync(dirname(join(sysctls, file)), { recursive: true });
      writeFileSync(join(sysctls, file), text);
    }
    const checks = checkLimits(sysctls).filter(({ name }) => name !== "open files of a process");
    assert.deepEqual(
      checks.map(({ name, status }) => [name, status]),
      [
        ["pids", "ok"],
        ["inotify instances", "note"],
      ],
    );
    assert.match(checks[1]?.fix ?? "", /^sysctl -w fs\.inotify\.max_user_instances=1024/);
  } finally {
    rmSync(sysctls, { recursive: true });
  }
});
