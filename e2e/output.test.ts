import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { APP_IMAGE } from "./harness/images.ts";
import { matrix } from "./harness/matrix.ts";

const MIB = 1024 * 1024;

matrix("output", (scenario) => {
  scenario("stdout and stderr arrive apart, byte for byte", async (box) => {
    const done = await box.run({}, "sh", "-c", "printf 'a\\000\\377\\n'; printf 'no newline' >&2");
    assert.equal(
      Buffer.from(done.stdout).toString("hex"),
      Buffer.from(Buffer.from("6100ff0a", "hex").toString()).toString("hex"),
    );
    assert.equal(done.stderr, "no newline");
  });

  scenario("20 MiB on both streams at once arrive whole", async (box) => {
    const fill = (byte: string) => `dd if=/dev/zero bs=64k count=320 2>/dev/null | tr '\\0' ${byte}`;
    const done = await box.run({ timeoutMs: 60_000 }, "sh", "-c", `(${fill("e")}) >&2 & ${fill("o")}; wait`);
    assert.equal(done.code, 0);
    assert.equal(done.stdout.length, 20 * MIB);
    assert.equal(done.stderr.length, 20 * MIB);
    assert.match(done.stdout.slice(0, 100) + done.stdout.slice(-100), /^o+$/);
    assert.match(done.stderr.slice(0, 100) + done.stderr.slice(-100), /^e+$/);
  });

  scenario("the last bytes before the exit are not lost", async (box) => {
    for (let round = 0; round < 5; round++) {
      const done = await box.run(
        {},
        "sh",
        "-c",
        "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; echo end >&2",
      );
      assert.equal(done.stdout.split("\n").length, 2001);
      assert.equal(done.stderr, "end\n");
    }
  });

  scenario("a background child that keeps stdout open does not hold up the end", async (box) => {
    await using container = await box.start({}, "sleep", "1000");
    const done = await container.exec({ timeoutMs: 20_000 }, "sh", "-c", "sleep 500 & echo parent");
    assert.deepEqual(done, { code: 0, stdout: "parent\n", stderr: "" });
  });

  scenario("stdin goes in, end of file comes through", async (box) => {
    const dialogue = [{ expect: /ready/, send: "one\ntwo\n" }, { expect: /two/ }];
    const done = await box.run({ dialogue }, "sh", "-c", "echo ready; cat; echo end");
    assert.equal(done.stdout, "ready\none\ntwo\nend\n");
    assert.equal(done.code, 0);
  });

  scenario("/dev/stdout and /dev/stderr can be opened again", async (box) => {
    const done = await box.run({ image: APP_IMAGE }, "sh", "-c", "echo out >/dev/stdout; echo err >/dev/stderr");
    assert.equal(done.code, 0, done.stderr);
    assert.equal(done.stdout, "out\n");
    assert.equal(done.stderr, "err\n");
  });

  scenario("--null-io: nothing comes, nothing blocks", async (box) => {
    const done = await box.run({ flags: ["--null-io"] }, "sh", "-c", "dd if=/dev/zero bs=1M count=1; cat; exit 5");
    assert.equal(done.code, 5);
    assert.equal(done.stdout, "");
  });

  scenario("--log-uri file:// gets both streams", async (box) => {
    const log = `${box.engine.dir}/${randomUUID()}.log`; // the control may try again
    const done = await box.run({ flags: ["--log-uri", `file://${log}`] }, "sh", "-c", "echo out; echo err >&2");
    assert.equal(done.code, 0, done.stderr);
    assert.deepEqual((await readFile(log, "utf8")).trim().split("\n").sort(), ["err", "out"]);
  });
});
