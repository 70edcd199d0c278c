import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Engine } from "./harness/containerd.ts";
import { buildRootfs } from "./harness/images.ts";
import { CONTROL, matrix, TRIMARAN } from "./harness/matrix.ts";
import type { Finished } from "./harness/process.ts";

type Hook = {
  readonly path: string;
  readonly args: readonly string[];
  readonly env?: readonly string[];
  readonly timeout?: number;
};

const shell = (script: string, more: Partial<Hook> = {}): Hook => ({
  path: "/bin/sh",
  args: ["sh", "-c", script],
  ...more,
});

/** Run a shell script with these hooks: a config of our own, because ctr has no flags for them. */
async function runWith(
  engine: Engine,
  runtime: string,
  script: string,
  hooks: Record<string, readonly Hook[]>,
): Promise<Finished> {
  const config = JSON.parse(await engine.ctrOk("oci", "spec")) as {
    root: { path: string; readonly?: boolean };
    process: { args: string[]; terminal?: boolean };
  };
  config.root = { path: await buildRootfs(), readonly: true };
  config.process.args = ["/bin/sh", "-c", script];
  config.process.terminal = false;
  const id = engine.newId();
  const path = join(engine.dir, `${id}.json`);
  writeFileSync(path, JSON.stringify({ ...config, hooks }));
  const done = await engine.ctr("run", "--rm", "--runtime", runtime, "--config", path, id);
  // ctr leaves a task whose Start fails.
  await engine.ctr("task", "rm", "--force", id);
  await engine.ctr("container", "rm", id);
  return done;
}

matrix(
  "hooks",
  (scenario) => {
    scenario(
      "all six, in the specification's order, with their statuses and namespaces",
      async ({ engine, runtime, isControl }) => {
        const trace = join(engine.dir, `${engine.newId()}.trace`);
        const note = (name: string) =>
          shell(
            `echo ${name} $(grep -o '"status": *"[a-z]*"' | tr -d ' ') $(readlink /proc/self/ns/uts) $A >> ${trace}`,
            {
              env: ["PATH=/usr/bin:/bin", "A=b"],
              timeout: 20,
            },
          );
        const outside = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
        const hooks = {
          ...Object.fromEntries(outside.map((name) => [name, [note(name)]])),
          startContainer: [shell("cat > /dev/shm/state")],
        };
        const done = await runWith(engine, runtime, "cat /dev/shm/state; readlink /proc/self/ns/uts; sleep 0.5", hooks);
        assert.equal(done.code, 0, done.stderr);
        const [, state = "", uts = ""] = /^(\{.*\})\s*(uts:\S+)/s.exec(done.stdout) ?? [];
        assert.equal((JSON.parse(state) as { pid: number }).pid, 1);
        const lines = readFileSync(trace, "utf8").trim().split("\n");
        const short = lines.map((line) => line.replace(uts, "container's").replace(/uts:\S+/, "host's"));
        if (isControl) short[3] = short[3]?.replace("created", "running") ?? ""; // runc told a wrong one until 1.5
        assert.deepEqual(short, [
          `prestart "status":"creating" host's b`,
          `createRuntime "status":"creating" host's b`,
          `createContainer "status":"creating" container's b`,
          `poststart "status":"running" host's b`,
          `poststop "status":"stopped" host's b`,
        ]);
      },
    );
    scenario("one that fails is the end of Create or Start, with its words", async ({ engine, runtime }) => {
      for (const kind of ["createRuntime", "createContainer", "startContainer"]) {
        const done = await runWith(engine, runtime, "echo ran", { [kind]: [shell("echo no luck >&2; exit 3")] });
        assert.notEqual(done.code, 0, kind);
        assert.equal(done.stdout, "", kind);
        if (kind !== "startContainer") assert.match(done.stderr, /no luck|exit status 3/, kind);
        if (runtime === TRIMARAN)
          assert.match(done.stderr, new RegExp(`hooks\\.${kind}\\[0\\] "/bin/sh": exited with status 3: no luck`));
      }
    });
    scenario("one that takes too long is killed", async ({ engine, runtime }) => {
      const startedAt = performance.now();
      const done = await runWith(engine, runtime, "echo ran", {
        createRuntime: [shell("exec sleep 60", { timeout: 1 })],
      });
      assert.notEqual(done.code, 0);
      assert.ok(performance.now() - startedAt < 15_000);
    });
  },
  { runtimes: [CONTROL, TRIMARAN] },
);
