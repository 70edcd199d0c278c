import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { BUILD_BIN } from "./harness/containerd.ts";
import { CONTROL, matrix } from "./harness/matrix.ts";

/** Upstream's shim with our command line in runc's place: it speaks to it by go-runc. Its state lies below a directory of containerd's. */
const flags = ["--runc-binary", join(BUILD_BIN, "trimaran-oci")];
const LOOP = ["sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done"];

matrix(
  "upstream's shim over trimaran-oci",
  (scenario) => {
    scenario("output, input, exit code, terminal", async ({ run }) => {
      assert.deepEqual(await run({ flags }, "sh", "-c", "echo out; echo err >&2; exit 7"), {
        code: 7,
        stdout: "out\n",
        stderr: "err\n",
      });
      // An end of input before Create has answered is lost by ctr itself.
      const dialogue = [{ expect: /ready/, send: "some input\n" }, { expect: /some input/ }];
      assert.equal((await run({ flags, dialogue }, "sh", "-c", "echo ready; cat")).stdout, "ready\nsome input\n");
      assert.match((await run({ flags, tty: true }, "sh", "-c", "tty; exit 5")).stdout, /\/dev\/pts\/0/);
    });
    scenario("exec, pause, signals, update, the end", async ({ start, engine }) => {
      await using container = await start({ flags }, ...LOOP);
      const exec = await container.exec({}, "sh", "-c", "echo in exec; exit 4");
      assert.deepEqual([exec.code, exec.stdout], [4, "in exec\n"]);
      assert.equal((await container.exec({ tty: true }, "tty")).code, 0);
      await engine.ctrOk("tasks", "pause", container.id);
      assert.match(await engine.ctrOk("tasks", "ls"), /PAUSED/);
      await engine.ctrOk("tasks", "resume", container.id);
      assert.match(await engine.ctrOk("tasks", "ps", container.id), /^PID/);
      await engine.ctrOk("tasks", "kill", "-s", "SIGTERM", container.id);
    });
    scenario("a program that is not there is a Create that fails, with runc's words", async ({ run, engine }) => {
      const done = await run({ flags }, "nonesuch");
      assert.notEqual(done.code, 0);
      assert.match(done.stderr, /executable file not found in \$PATH/);
      const root = join("/run/containerd/runc", engine.namespace); // what go-runc says as --root
      assert.deepEqual(existsSync(root) ? readdirSync(root) : [], []);
    });
  },
  { runtimes: [CONTROL] },
);
