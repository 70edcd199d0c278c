import assert from "node:assert/strict";
import { matrix } from "./harness/matrix.ts";

// After each scenario the matrix checks that nothing is left: no process, mount, cgroup, socket, bundle.
matrix("many", (scenario) => {
  scenario("200 containers in a row leave nothing (20 for the control)", async (box) => {
    for (let n = 0; n < (box.isControl ? 20 : 200); n++)
      assert.equal((await box.run({}, "sh", "-c", `exit ${n % 256}`)).code, n % 256);
  });

  scenario("12 at once leave nothing", async (box) => {
    const all = Array.from({ length: 12 }, (_, n) => box.run({}, "sh", "-c", `echo ${n}; sleep 0.1; exit ${n}`));
    const done = await Promise.all(all);
    assert.deepEqual(
      done.map(({ code, stdout }) => [code, stdout]),
      done.map((_, n) => [n, `${n}\n`]),
    );
  });

  scenario("200 execs in a row leave nothing (20 for the control)", async (box) => {
    await using container = await box.start({}, "sleep", "1000");
    for (let n = 0; n < (box.isControl ? 20 : 200); n++)
      assert.equal((await container.exec({}, "sh", "-c", `exit ${n % 256}`)).code, n % 256);
    assert.equal((await container.taskOk("ps")).trim().split("\n").length, 2);
  });
});
