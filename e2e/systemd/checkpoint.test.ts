import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { ANY, containerd, packAny } from "@trimaran/proto";
import { ensureRecentCriu } from "../../tools/debian.ts";
import { BUILD_BIN } from "../harness/containerd.ts";
import { COUNT, createCounter } from "../harness/counter.ts";
import { buildRootfs } from "../harness/images.ts";
import { PATIENCE } from "../harness/patience.ts";
import { type Finished, run } from "../harness/process.ts";
import { ShimYard, type StartedShim, shimKinds } from "../harness/shims.ts";
import { unitsNamed } from "./unit.ts";

/** The machine's own: for another one criu wants more of a kernel than the guest's has. */
const NETWORK = { networkNamespace: "/proc/1/ns/net" };
const SLICE = "trimaran-test.slice";
const OPTIONS = packAny(ANY.runcOptions, containerd.runc.v1.Options.encode({ systemdCgroup: true }));
const EXIT = packAny(ANY.runcCheckpointOptions, containerd.runc.v1.CheckpointOptions.encode({ exit: true }));
const timeout = 200_000 * PATIENCE;
const criu = dirname(await ensureRecentCriu());
const kinds = (await shimKinds()).filter(({ isControl, style }) => style === (isControl ? "2.1" : "2.3"));

/** Where a process is, and who else is there. */
function scopeOf(pid: number) {
  const path = /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, "utf8"))?.[1] ?? "";
  const pids = readFileSync(`/sys/fs/cgroup${path}/cgroup.procs`, "utf8").trim().split("\n").map(Number);
  return { path, names: pids.map((other) => readFileSync(`/proc/${other}/comm`, "utf8").trim()).sort() };
}

for (const plain of kinds) {
  describe(`checkpoint of a scope: ${plain.name}`, { timeout }, () => {
    test("what is restored is in a scope of its own, alone, and ends with it", async () => {
      await using yard = await ShimYard.open({ ...plain, path: `${criu}:${plain.path}`, options: OPTIONS });
      const image = join(yard.containerd.dir, "image");
      const create = async (pod: StartedShim, checkpoint?: string) => {
        const out = await createCounter(yard, pod, checkpoint);
        const { pid } = await pod.shim.task.start({ id: pod.id });
        return { out, pid };
      };
      const [from, to] = [`${yard.tag}-from`, `${yard.tag}-to`];
      const first = await yard.start(COUNT, { cgroupsPath: `${SLICE}:trm:${from}`, ...NETWORK });
      const { out } = await create(first);
      await out.reached(3);
      await first.shim.task.checkpoint({ id: first.id, path: image, options: EXIT });
      await first.shim.task.wait({ id: first.id });
      await first.shim.remove();
      const second = await yard.start(COUNT, { cgroupsPath: `${SLICE}:trm:${to}`, ...NETWORK });
      const restored = await create(second, image);
      await restored.out.reached(out.last() + 3);
      const { path, names } = scopeOf(restored.pid);
      assert.equal(path, `/trimaran.slice/${SLICE}/trm-${to}.scope`);
      assert.deepEqual(
        names.filter((name) => name !== "sleep"),
        ["sh"],
      );
      await second.shim.task.kill({ id: second.id, signal: 9 });
      await second.shim.task.wait({ id: second.id });
      await second.shim.remove();
      assert.deepEqual([...(await unitsNamed(from)), ...(await unitsNamed(to))], []);
    });
  });
}

test("trimaran oci --systemd-cgroup: checkpoint, and restore into a scope", { timeout }, async () => {
  const folder = await mkdtemp(join(tmpdir(), "oci-systemd-"));
  const quiet = ["sh", "-c", 'exec "$@" >/dev/null 2>&1 </dev/null', "sh"]; // it hands its streams to the container
  const log = join(folder, "log");
  const program = [join(BUILD_BIN, "trimaran-oci"), "--root", join(folder, "root"), "--log", log, "--systemd-cgroup"];
  const oci = async (...words: string[]): Promise<Finished> => {
    const argv = [...program, ...words];
    const done = await run(words.includes("--detach") ? [...quiet, ...argv] : argv, {
      cwd: folder,
      env: { ...process.env, PATH: `${criu}:${process.env.PATH}` },
      timeoutMs: 60_000 * PATIENCE,
    });
    assert.equal(done.code, 0, `${words.join(" ")}: ${existsSync(log) ? readFileSync(log, "utf8") : ""}`);
    return done;
  };
  const name = `oci-${process.pid}`;
  try {
    await oci("spec");
    const file = join(folder, "config.json");
    const spec = JSON.parse(readFileSync(file, "utf8"));
    spec.process.terminal = false;
    spec.process.args = ["sleep", "1000"];
    spec.root.path = await buildRootfs();
    spec.linux.namespaces = spec.linux.namespaces.filter(({ type }: { type: string }) => type !== "network");
    spec.linux.cgroupsPath = `${SLICE}:trm:${name}`;
    await writeFile(file, JSON.stringify(spec));
    const pidOf = async () => (JSON.parse((await oci("state", "c")).stdout) as { pid: number }).pid;
    await oci("run", "--detach", "c");
    const before = scopeOf(await pidOf());
    await oci("checkpoint", "--image-path", join(folder, "image"), "c");
    assert.deepEqual(await unitsNamed(name), []);
    await oci("restore", "--detach", "--image-path", join(folder, "image"), "c");
    assert.deepEqual(scopeOf(await pidOf()), before);
    assert.deepEqual(before.names, ["sleep"]);
    await oci("delete", "--force", "c");
    assert.deepEqual(await unitsNamed(name), []);
  } finally {
    await run([...program, "delete", "--force", "c"]); // nothing, unless it has failed above
    await rm(folder, { recursive: true, force: true });
  }
});
