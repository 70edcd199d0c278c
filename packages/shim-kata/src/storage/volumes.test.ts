import assert from "node:assert/strict";
import { test } from "node:test";
import { planVolumes } from "./volumes.ts";

const mount = (target: string, type: string, ...options: string[]) => ({
  target,
  type,
  source: `/host${target}`,
  options,
});

test("binds are shared, by type or by option; what the guest's kernel makes itself is not", () => {
  const kinds = ["proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2"];
  const own = kinds.map((type) => mount(`/${type}`, type, "nosuid"));
  const volumes = planVolumes([...own, mount("/a", "bind"), mount("/b", "none", "rbind"), mount("/c", "", "bind")]);
  assert.deepEqual(
    volumes.map(({ mount, source, recursive, field }) => [mount, source, recursive, field]),
    [
      [7, "/host/a", false, 'mounts[7] "/a"'],
      [8, "/host/b", true, 'mounts[8] "/b"'],
      [9, "/host/c", false, 'mounts[9] "/c"'],
    ],
  );
});

test("shared memory of the pod is the guest's", () => {
  assert.deepEqual(planVolumes([mount("/dev/shm", "bind", "rbind")]), []);
  assert.equal(planVolumes([mount("/dev/shm/x", "bind", "rbind")]).length, 1);
});

test("read-only and propagation: the last word counts, the host never sees what the guest mounts", () => {
  const plan = (...options: string[]) => {
    const [volume] = planVolumes([mount("/a", "bind", ...options)]);
    return [volume?.readonly, volume?.slave];
  };
  assert.deepEqual(plan("rbind"), [false, false]);
  assert.deepEqual(plan("rbind", "ro", "rprivate"), [true, false]);
  assert.deepEqual(plan("rbind", "ro", "rw", "rslave"), [false, true]);
  assert.deepEqual(plan("rbind", "rro", "rshared"), [true, true]);
});
