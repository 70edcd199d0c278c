import assert from "node:assert/strict";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { type Engine, startContainerd } from "./harness/containerd.ts";
import { normalize, type Step, transcribe } from "./harness/transcript.ts";

const RUN = "--runtime io.containerd.runc.v2";
const LAST = "last-of-all";

/** Something of each kind that publishes. */
const STEPS: readonly Step[] = [
  "namespaces create one a=b",
  "namespaces label one a=c",
  "namespaces rm one",
  { ctr: "content ingest text", stdin: "hello" },
  "content rm sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
  "leases create --id gc", // no collection for the deletion above comes in between
  "leases rm --sync gc",
  "snapshots prepare base",
  "snapshots commit layer base",
  "snapshots view look layer",
  "snapshots label layer a=b",
  "snapshots rm look layer",
  "images tag --local $IMAGE example.test/other:1",
  "images label example.test/other:1 a=b",
  "images rm example.test/other:1",
  `containers create ${RUN} --label x=y $IMAGE made sh`,
  "containers label made x=z",
  "containers rm made",
  `run --rm ${RUN} $IMAGE short true`,
  `run -d ${RUN} $IMAGE long sleep 1000`,
  "tasks exec --exec-id e1 long true",
  "tasks pause long",
  "tasks resume long",
  "tasks delete -f long",
  "containers rm long",
];

test("ctr events prints the same with both daemons", { timeout: 120_000 }, async () => {
  const [theirs, ours] = await Promise.all(
    (["containerd", "trimaran"] as const).map(async (daemon) => {
      await using engine = await startContainerd({ version: "2.x", daemon });
      return await eventsOf(engine);
    }),
  );
  assert.deepEqual(ours, theirs);
});

/** What `ctr events` prints while the steps run. */
async function eventsOf(engine: Engine): Promise<string[]> {
  const listener = engine.spawnCtr("events");
  const printed = text(listener.stdout);
  try {
    await heard(engine, listener);
    await transcribe(engine, STEPS);
    const last = seen(listener, LAST);
    await engine.ctrOk("namespaces", "create", LAST);
    await last;
  } finally {
    listener.kill("SIGKILL");
  }
  const lines = normalize(engine, (await printed).replaceAll(/fifo\/\d+/g, "fifo/N")).split("\n");
  const own = lines.filter((line) => line !== "" && !/first-|last-/.test(line));
  return own
    .filter((line) => !line.includes(" /tasks/delete ")) // upstream's shim may end before it has sent it
    .map((line) => line.replace(/"(pid|exited_at)":(\{[^}]*\}|\d+)/g, '"$1":…'));
}

/** ctr says nothing when it listens: publish until something comes. */
async function heard(engine: Engine, listener: ReturnType<Engine["spawnCtr"]>): Promise<void> {
  const first = seen(listener, "first-");
  let isHeard = false;
  void first.then(() => {
    isHeard = true;
  });
  for (let n = 0; !isHeard; n++) await engine.ctrOk("namespaces", "create", `first-${n}`);
}

async function seen(listener: ReturnType<Engine["spawnCtr"]>, part: string): Promise<void> {
  let all = "";
  const { promise, resolve } = Promise.withResolvers<void>();
  listener.stdout.on("data", (chunk: Buffer) => {
    all += chunk;
    if (all.includes(part)) resolve();
  });
  await promise;
}
