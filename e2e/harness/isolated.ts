// What holds for a container wherever its kernel is: in gVisor's sandbox, in a machine.
import assert from "node:assert/strict";
import type { Container, ContainerOptions } from "./container.ts";
import type { Box } from "./matrix.ts";

/** Ends with status 23 on SIGTERM. */
export const FOREVER = "trap 'exit 23' TERM; echo up; while :; do sleep 0.05; done";

/** How a container of the runtime is started; asked for each one anew. */
type Options = (box: Box) => Promise<ContainerOptions>;

/** Size, what is typed, Ctrl-C; of run and of exec. */
export async function checkTerminals(box: Box, options: Options): Promise<void> {
  const script = "cat; trap 'echo interrupted; exit 9' INT; sleep 0.5; stty size; echo waiting; sleep 100 & wait";
  const dialogue = [
    { expect: /go\r\n/, send: "typed\n" },
    { expect: /typed\r\ntyped\r\n/, send: "\x04" },
    { expect: /waiting/, send: "\x03" },
  ];
  const done = await box.run({ ...(await options(box)), tty: true, dialogue }, "sh", "-c", `echo go; ${script}`);
  assert.match(done.stdout, /typed\r\ntyped\r\n40 100\r\nwaiting\r\n[\s\S]*interrupted\r\n/);
  assert.equal(done.code, 9);
  await using container = await box.start(await options(box), "sleep", "1000");
  const shown = await container.exec({ tty: true }, "sh", "-c", "test -t 0 && sleep 0.5; stty size; exit 3");
  assert.deepEqual([shown.stdout, shown.code], ["40 100\r\n", 3]);
}

/** Pause, resume, metrics (which match `metric`), SIGTERM; what is paused can be killed. */
export async function checkPause(box: Box, options: Options, metric: RegExp): Promise<void> {
  await using container = await box.start(await options(box), "sh", "-c", FOREVER);
  await container.taskOk("pause");
  assert.equal((await container.listed())?.status, "PAUSED");
  await container.taskOk("resume");
  assert.match(await container.taskOk("metrics"), metric);
  const attached = container.attach();
  assert.equal((await container.exec({}, "sleep", "0.2")).code, 0); // attach has no sign of being attached
  await container.taskOk("kill", "-s", "TERM");
  assert.equal((await attached).code, 23);
  await using other = await box.start(await options(box), "sleep", "1000");
  await other.taskOk("pause");
  await other.taskOk("kill", "-s", "9");
  await other.reached("STOPPED");
}

/** An exec that goes on without its client is listed and can be killed; `count` at once have each its own status. */
export async function checkExecs({ engine }: Box, container: Container, count: number): Promise<void> {
  await engine.ctrOk("task", "exec", "-d", "--exec-id", "long", container.id, "sleep", "1000");
  assert.match(await container.taskOk("ps"), /long/);
  await container.taskOk("kill", "--exec-id", "long", "-s", "9");
  const all = Array.from({ length: count }, (_, n) => container.exec({}, "sh", "-c", `exit ${n}`));
  assert.deepEqual(
    (await Promise.all(all)).map(({ code }) => code),
    all.map((_, n) => n),
  );
}
