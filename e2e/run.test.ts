import assert from "node:assert/strict";
import { IMAGE } from "./harness/images.ts";
import { matrix } from "./harness/matrix.ts";

matrix("run", (scenario) => {
  scenario("true: exit status 0, no output", async (box) => {
    assert.deepEqual(await box.run({}, "true"), { code: 0, stdout: "", stderr: "" });
  });

  scenario("exit statuses from 0 to 255", async (box) => {
    for (const code of [0, 1, 2, 42, 125, 126, 127, 128, 129, 137, 254, 255]) {
      const done = await box.run({}, "sh", "-c", `exit ${code}`);
      assert.equal(done.code, code, done.stderr);
    }
  });

  scenario("SIGTERM to ctr reaches the container", async (box) => {
    const id = box.engine.newId();
    const script = "trap 'echo got it; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    const ctr = box.engine.spawnCtr("run", "--rm", "--runtime", box.runtime, IMAGE, id, "sh", "-c", script);
    let out = "";
    ctr.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text;
      // ctr begins to forward signals some time after Start has answered, and shows nothing when it does
      if (text.includes("ready")) setTimeout(() => ctr.kill("SIGTERM"), 500);
    });
    const code = await new Promise((resolve) => ctr.on("close", resolve));
    assert.equal(out, "ready\ngot it\n");
    assert.equal(code, 7);
  });
});
