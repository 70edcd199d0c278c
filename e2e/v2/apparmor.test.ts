import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { ensureAppArmorParser } from "../../tools/debian.ts";
import { PATIENCE } from "../harness/patience.ts";
import { runOk } from "../harness/process.ts";
import { ShimYard, shimKinds } from "../harness/shims.ts";
import { Container } from "./container.ts";

const PROFILES = `
profile trimaran-test flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  signal,
  deny /tmp/secret rw,
}
profile trimaran-other flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  signal,
}
`;
const LOOK = "cat /proc/self/attr/apparmor/current; echo word > /tmp/secret; cat /tmp/secret";
const profile = (apparmorProfile: string) => ({ apparmorProfile });

// One upstream shim, as the control, and ours: how they are started makes no difference here.
const kinds = (await shimKinds()).filter(({ isControl, style }) => style === (isControl ? "2.1" : "2.3"));

before(async () => {
  const enabled = "/sys/module/apparmor/parameters/enabled";
  assert.ok(existsSync(enabled) && readFileSync(enabled, "utf8") === "Y\n", "no AppArmor: node e2e/vm/run.ts");
  await runOk([await ensureAppArmorParser(), "--replace", "--skip-cache"], { stdin: PROFILES });
});

for (const kind of kinds) {
  describe(`AppArmor: ${kind.name}`, { timeout: 100_000 * PATIENCE }, () => {
    let yard: ShimYard;
    before(async () => {
      yard = await ShimYard.open(kind);
    });
    after(() => yard[Symbol.asyncDispose]());

    test("init and exec have the profiles of their own processes, and what is denied is denied", async () => {
      const process = profile("trimaran-test");
      const container = await Container.start(yard, `${LOOK}; sleep 1000`, { process });
      assert.equal(readFileSync(`/proc/${container.pid}/attr/apparmor/current`, "utf8"), "trimaran-test (enforce)\n");
      const same = await container.exec(LOOK, process);
      assert.match(same.output, /^trimaran-test \(enforce\)\n.*\/tmp\/secret: Permission denied\n.*No such file/s);
      assert.equal(await container.output(), same.output);
      const other = await container.exec(LOOK, profile("trimaran-other"));
      assert.deepEqual(other, { code: 0, output: "trimaran-other (enforce)\nword\n" });
      // None of its own: init's; runc's exec is unconfined then.
      if (!kind.isControl) assert.match((await container.exec(LOOK)).output, /^trimaran-test \(enforce\)\n/);
      await container.remove();
    });

    test("a profile that is not loaded: an error that names it, for init and for exec; the container is not there", async () => {
      const named = kind.isControl ? /apparmor/ : /process\.apparmorProfile "trimaran-nope": .*ENOENT/;
      await assert.rejects(Container.start(yard, "true", { process: profile("trimaran-nope") }), named);
      const container = await Container.start(yard, "sleep 1000");
      await assert.rejects(container.exec("true", profile("trimaran-nope")), named);
      await container.remove();
    });
  });
}
