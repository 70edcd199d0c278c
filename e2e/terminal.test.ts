import assert from "node:assert/strict";
import { matrix } from "./harness/matrix.ts";

/** ctr sends the terminal's size only after the start, and complains if the process has exited by then. */
const SIZED = "until stty size 2>/dev/null | grep -q '^40 100$'; do sleep 0.05; done";

// The sleeps are for script(1), which may drop what is still on its own terminal when ctr ends.
matrix("terminal", (scenario) => {
  scenario("run -t: a terminal on all three, with ctr's size", async (box) => {
    const done = await box.run(
      { tty: true },
      "sh",
      "-c",
      `tty; test -t 0 && test -t 1 && test -t 2 && echo all; ${SIZED}; sleep 0.2; stty size`,
    );
    assert.equal(done.stdout, "/dev/pts/0\r\nall\r\n40 100\r\n");
    assert.equal(done.code, 0);
  });

  scenario("run -t: exit status", async (box) => {
    assert.equal((await box.run({ tty: true }, "sh", "-c", `${SIZED}; exit 33`)).code, 33);
  });

  scenario("run -t: what is typed arrives, Ctrl-D ends, Ctrl-C interrupts", async (box) => {
    const script = "cat; trap 'echo; echo interrupted; exit 9' INT; echo waiting; sleep 100 & wait";
    const dialogue = [
      { expect: /go\r\n/, send: "typed\n" },
      { expect: /typed\r\ntyped\r\n/, send: "\x04" }, // the terminal's echo, then cat's
      { expect: /waiting/, send: "\x03" },
    ];
    const done = await box.run({ tty: true, dialogue, timeoutMs: 15_000 }, "sh", "-c", `${SIZED}; echo go; ${script}`);
    assert.equal(done.stdout, "go\r\ntyped\r\ntyped\r\nwaiting\r\n^C\r\ninterrupted\r\n");
    assert.equal(done.code, 9);
  });

  scenario("run -t: 2 MiB of output arrive whole", async (box) => {
    const done = await box.run(
      { tty: true },
      "sh",
      "-c",
      "dd if=/dev/zero bs=64k count=32 2>/dev/null | tr '\\0' x; sleep 0.5",
    );
    assert.equal(done.stdout.length, 2 * 1024 * 1024);
  });

  scenario("exec -t: a terminal of its own", async (box) => {
    await using container = await box.start({}, "sleep", "1000");
    const done = await container.exec(
      { tty: true },
      "sh",
      "-c",
      `tty; test -t 2 && echo yes; ${SIZED}; sleep 0.2; stty size; exit 3`,
    );
    assert.equal(done.stdout, "/dev/pts/0\r\nyes\r\n40 100\r\n");
    assert.equal(done.code, 3);
  });

  scenario("exec -t into a container with a terminal", async (box) => {
    await using container = await box.start({ tty: true }, "sleep", "1000");
    const done = await container.exec({ tty: true }, "sh", "-c", `tty; ${SIZED}; sleep 0.2`);
    assert.equal(done.stdout, "/dev/pts/1\r\n");
  });
});
