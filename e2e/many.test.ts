import assert from "node:assert/strict";
import { type Box, matrix } from "./harness/matrix.ts";

/** E2E_MANY=long: 200 on every engine. A leak of one in a row shows in fewer, too. */
const isLong = process.env.E2E_MANY === "long";
const count = ({ isControl, engine }: Box) => (isControl ? 20 : isLong || engine.version === "2.x" ? 200 : 50);

// After each scenario the matrix checks that nothing is left: no process, mount, cgroup, socket, bundle.
matrix("many", (scenario) => {
  scenario("containers in a row leave nothing: 200; 50 on 1.6, 20 for the control", async (box) => {
    for (let n = 0; n < count(box); n++) assert.equal((await box.run({}, "sh", "-c", `exit ${n % 256}`)).code, n % 256);
  });

  scenario("12 at once leave nothing", async (box) => {
    const all = Array.from({ length: 12 }, (_, n) => box.run({}, "sh", "-c", `echo ${n}; sleep 0.1; exit ${n}`));
    const done = await Promise.all(all);
    assert.deepEqual(
      done.map(({ code, stdout }) => [code, stdout]),
      done.map((_, n) => [n, `${n}\n`]),
    );
  });

  scenario("execs in a row leave nothing: 200; 50 on 1.6, 20 for the control", async (box) => {
    await using container = await box.start({}, "sleep", "1000");
    for (let n = 0; n < count(box); n++)
      assert.equal((await container.exec({}, "sh", "-c", `exit ${n % 256}`)).code, n % 256);
    assert.equal((await container.taskOk("ps")).trim().split("\n").length, 2);
  });
});
