import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { PATIENCE } from "../harness/patience.ts";
import { runOk } from "../harness/process.ts";
import { ShimYard, shimKinds } from "../harness/shims.ts";
import { Container } from "../v2/container.ts";
import { label, loadPolicy } from "./policy.ts";

const [CONTAINER, OTHER, FILES] = [label("container_t"), label("other_t"), label("container_file_t")];

// One upstream shim, as the control, and ours: how they are started makes no difference here.
const kinds = (await shimKinds()).filter(({ isControl, style }) => style === (isControl ? "2.1" : "2.3"));

before(async () => {
  const folder = await mkdtemp(join(tmpdir(), "selinux-"));
  await runOk(["mount", "-t", "selinuxfs", "selinuxfs", "/sys/fs/selinux"]); // fails where SELinux is off: node e2e/vm/run.ts --selinux
  await loadPolicy(folder);
  await rm(folder, { recursive: true });
});

for (const kind of kinds) {
  describe(`SELinux: ${kind.name}`, { timeout: 100_000 * PATIENCE }, () => {
    let yard: ShimYard;
    before(async () => {
      yard = await ShimYard.open(kind);
    });
    after(() => yard[Symbol.asyncDispose]());

    test("labels of init, of exec, and of the mounts that take one", async () => {
      const look = "tr -d '\\0' < /proc/self/attr/current; echo; grep -E ' /dev/shm | /dev ' /proc/mounts";
      const container = await Container.start(yard, `${look}; sleep 1000`, {
        process: { selinuxLabel: CONTAINER },
        linux: { mountLabel: FILES },
      });
      const current = readFileSync(`/proc/${container.pid}/attr/current`, "latin1").replace(/[\0\n]/g, "");
      assert.equal(current, CONTAINER);
      const other = await container.exec(look, { selinuxLabel: OTHER });
      assert.match(other.output, new RegExp(`^${OTHER}\n`));
      const mounts = other.output.split("\n").filter((line) => line.startsWith("tmpfs") || line.startsWith("shm"));
      assert.equal(mounts.length, 2, other.output);
      for (const mount of mounts) assert.match(mount, new RegExp(`context="?${FILES}`));
      await container.remove();
    });

    test("a label that the policy does not know is an error that names the field", async () => {
      const named = kind.isControl ? /./ : /process\.selinuxLabel "u:r:nope_t": .*EINVAL from write/;
      await assert.rejects(Container.start(yard, "true", { process: { selinuxLabel: "u:r:nope_t" } }), named);
    });
  });
}
