import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { ensureRecentRunsc } from "../tools/debian.ts";
import { type ProcessEntry, processesOf } from "./harness/belongings.ts";
import type { ContainerOptions } from "./harness/container.ts";
import { watchEvents } from "./harness/events.ts";
import { checkExecs, checkPause, checkTerminals, FOREVER } from "./harness/isolated.ts";
import { assertNoLeaks, snapshot } from "./harness/leaks.ts";
import { type Box, GVISOR, matrix } from "./harness/matrix.ts";

/** Debian 12's runsc under containerd 1.6, the backports' under 2.x; `toml` is added to the shim's configuration. */
async function runsc(box: Box, toml = ""): Promise<ContainerOptions> {
  const path = box.engine.version === "1.6" ? "/usr/bin/runsc" : await ensureRecentRunsc();
  return await configured(box, `binary_name = "${path}"\n${toml}`);
}

async function configured(box: Box, toml: string): Promise<ContainerOptions> {
  const name = createHash("sha256").update(toml).digest("hex").slice(0, 12);
  const file = join(box.engine.dir, `${name}.toml`);
  await writeFile(file, toml);
  return { flags: ["--runtime-config-path", file] };
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error; // it ended by itself
  }
}

function bundleOf({ engine }: Box, id: string): string {
  return join(engine.dir, "state/io.containerd.runtime.v2.task", engine.namespace, id);
}

/** Until containerd has the shim's answer to `start`, which it notes in the bundle. */
async function bootstrapped(box: Box, id: string): Promise<void> {
  while (!existsSync(join(bundleOf(box, id), "shim-binary-path"))) await delay(2);
}

function isMonitor({ command }: ProcessEntry): boolean {
  return command.startsWith("containerd-shim-trimaran-");
}

/** How many files the task server and each monitor have open, by pid. */
async function descriptors({ engine }: Box): Promise<Readonly<Record<string, number>>> {
  const monitors = (await processesOf(engine)).filter(isMonitor).map(({ pid }) => pid);
  const pids = [...(await engine.taskServerPids()), ...monitors];
  return Object.fromEntries(
    await Promise.all(pids.map(async (pid) => [pid, (await readdir(`/proc/${pid}/fd`)).length] as const)),
  );
}

/** What `look` gives once it is `wanted`, or after 5 s: a connection that was just closed takes a moment. */
async function settled<T>(look: () => Promise<T>, wanted: T): Promise<T> {
  for (const until = Date.now() + 5000; ; ) {
    const now = await look();
    if (isDeepStrictEqual(now, wanted) || Date.now() > until) return now;
    await delay(50);
  }
}

matrix(
  "gvisor",
  (scenario) => {
    scenario("it is gVisor: dmesg, /proc/version, both streams, exit status", async (box) => {
      const script = "dmesg | head -1; cat /proc/version; echo e >&2; exit 5";
      const done = await box.run(await runsc(box), "sh", "-c", script);
      assert.match(done.stdout, /Starting gVisor\.\.\.\nLinux version 4\.4\.0 .*\n$/);
      assert.deepEqual([done.code, done.stderr], [5, "e\n"]);
      assert.equal((await box.run(await runsc(box), "sh", "-c", "kill -9 $$")).code, 137);
    });

    scenario("exec: the same sandbox; exit status, signal, stdin, a command that is missing", async (box) => {
      await using container = await box.start(await runsc(box), "sh", "-c", "echo here > /tmp/mark; sleep 1000");
      const script =
        "until [ -s /tmp/mark ]; do sleep 0.02; done; cat /tmp/mark; tr '\\0' ' ' < /proc/1/cmdline; exit 9";
      const inside = await container.exec({}, "sh", "-c", script);
      assert.match(inside.stdout, /^here\nsleep 1000 $/);
      assert.equal(inside.code, 9);
      assert.equal((await container.exec({}, "sh", "-c", "kill -9 $$")).code, 137);
      const input = "x".repeat(5 << 20);
      assert.equal((await container.exec({ stdin: input }, "wc", "-c")).stdout.trim(), String(input.length));
      const missing = await container.exec({}, "/nope");
      assert.match(missing.stderr, /runsc exec: .*\/nope.*no such file/);
      await checkExecs(box, container, 8);
    });

    scenario("terminals: size, what is typed, Ctrl-C; of run and of exec", (box) => checkTerminals(box, runsc));

    scenario("pause, resume, metrics, SIGTERM; what ran while paused is killed", (box) =>
      checkPause(box, runsc, /memory\.usage_in_bytes +[1-9]/),
    );

    scenario("out of memory: the event, then 137", async (box) => {
      await using events = await watchEvents(box.engine);
      const id = box.engine.newId();
      const { flags = [] } = await runsc(box);
      const limit = ["--memory-limit", String(64 << 20)];
      const eat = ["dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1"];
      assert.equal((await box.run({ id, flags: [...flags, ...limit] }, ...eat)).code, 137);
      await events.reached(id, "/tasks/delete");
      const topics = events.of(id).map(({ topic }) => topic.slice("/tasks/".length));
      assert.deepEqual(topics, ["create", "start", "oom", "exit", "delete"]);
    });

    scenario("the task server is killed between all verbs: nothing is lost", async (box) => {
      const kill = async () => {
        for (const pid of await box.engine.taskServerPids()) killIfThere(pid);
      };
      await using container = await box.start(await runsc(box), "sh", "-c", FOREVER);
      await kill();
      assert.deepEqual(await container.exec({}, "sh", "-c", "echo hi; exit 4"), {
        code: 4,
        stdout: "hi\n",
        stderr: "",
      });
      const long = container.exec({}, "sh", "-c", "sleep 0.6; exit 6");
      await container.exec({}, "sleep", "0.2");
      await kill();
      assert.equal((await long).code, 6);
      await container.taskOk("pause");
      await kill();
      await container.taskOk("resume");
      await kill();
      await container.taskOk("kill", "-s", "TERM");
      await kill();
      await container.reached("STOPPED");
      assert.match((await container.task("rm")).stderr, /exit with non-zero exit code 23|^$/);
      for (let round = 0; round < 6; round++) {
        const id = box.engine.newId();
        const running = box.run({ ...(await runsc(box)), id }, "sh", "-c", `echo ${round}; exit ${round}`);
        await bootstrapped(box, id);
        await delay(round * 45);
        await kill();
        assert.deepEqual(await running, { code: round, stdout: `${round}\n`, stderr: "" });
      }
    });

    scenario("the shim, or runsc's sandbox, is killed: 137, and all is gone", async (box) => {
      const options = await runsc(box);
      await using first = await box.start(options, "sleep", "1000");
      const sandbox = (await first.listed())?.pid ?? 0;
      const { parent = 0 } = (await processesOf(box.engine)).find(({ pid }) => pid === sandbox) ?? {};
      process.kill(parent, "SIGKILL");
      await first.reached("absent");
      await using second = await box.start(options, "sleep", "1000");
      const attached = second.attach();
      await second.exec({}, "sleep", "0.2");
      process.kill((await second.listed())?.pid ?? 0, "SIGKILL");
      assert.equal((await attached).code, 137);
    });

    scenario("containerd is killed: the container lives on", async (box) => {
      await using container = await box.start(await runsc(box), "sleep", "1000");
      const before = await container.listed();
      await box.engine.restart();
      assert.deepEqual(await container.listed(), before);
      assert.equal((await container.exec({}, "true")).code, 0);
    });

    scenario("an id that is the beginning of another's: each verb means the one that it names", async (box) => {
      const options = await runsc(box);
      const id = box.engine.newId();
      const longer = `${id}-more`;
      box.engine.ids.push(longer);
      await using other = await box.start({ ...options, id: longer }, "sleep", "1000");
      {
        await using container = await box.start({ ...options, id }, "sh", "-c", FOREVER);
        assert.equal((await container.exec({}, "sh", "-c", "exit 3")).code, 3);
        await container.taskOk("pause");
        await container.taskOk("resume");
        await container.taskOk("kill", "-s", "TERM");
        await container.reached("STOPPED");
      }
      const bind = ["--mount", "type=bind,src=/does/not/exist,dst=/mnt,options=rbind"];
      assert.equal((await box.run({ flags: [...(options.flags ?? []), ...bind], id }, "true")).code, 1);
      assert.equal((await box.run({ ...options, id }, "/nope")).code, 1);
      await box.engine.ctr("task", "rm", "--force", id); // ctr leaves a task that did not start
      await box.engine.ctr("container", "rm", id);
      assert.equal((await other.listed())?.status, "RUNNING");
      assert.equal((await other.exec({}, "sh", "-c", "exit 4")).code, 4);
    });

    scenario("bad input: one line with the reason, nothing is left", async (box) => {
      const cases: [ContainerOptions, string[], RegExp][] = [
        [await configured(box, "binary_name = '/none/runsc'"), ["true"], /"\/none\/runsc": is no program; install it/],
        [await configured(box, "binary_name = '/bin/true'"), ["true"], /\/bin\/true: does not answer as runsc does/],
        [await configured(box, "binaryName = 'runsc'"), ["true"], /"binaryName" is unknown; "binary_name"\?/],
        [await configured(box, "a = = b"), ["true"], /\.toml: no TOML/],
        [{ flags: ["--runtime-config-path", "/none.toml"] }, ["true"], /ConfigPath \/none\.toml: can't be read/],
        [await runsc(box, "[runsc_config]\nfile_access = 'shared'"), ["true"], /no such flag; "file-access"\?/],
        [await runsc(box, "[runsc_config]\nnetwork = 'carrier-pigeon'"), ["true"], /carrier-pigeon/],
        [
          await runsc(box, "[runsc_config]\nplatform = 'abacus'"),
          ["true"],
          /platform: no sandbox starts here \(abacus: /,
        ],
      ];
      for (const [options, command, message] of cases) {
        const done = await box.run(options, ...command);
        assert.notEqual(done.code, 0);
        assert.match(done.stderr, message);
      }
      const bind = ["--mount", "type=bind,src=/does/not/exist,dst=/mnt,options=rbind"];
      const { flags = [] } = await runsc(box);
      assert.match((await box.run({ flags: [...flags, ...bind] }, "true")).stderr, /\/does\/not\/exist.*no such file/);
      const id = box.engine.newId();
      assert.match(
        (await box.run({ ...(await runsc(box)), id }, "/nope")).stderr,
        /runsc start: .*\/nope.*no such file/,
      );
      await box.engine.ctr("task", "rm", "--force", id); // ctr leaves a task that did not start
      await box.engine.ctr("container", "rm", id);
    });

    scenario("a user namespace: the gofer has its ids", async (box) => {
      await chmod(box.engine.dir, 0o711); // ids that own nothing here have to reach the bundle
      // Debian 12's runsc: ctr sends these ids or another configuration, not both
      const flags = ["--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536"];
      await using container = await box.start({ flags }, "sleep", "1000");
      assert.equal((await container.exec({}, "sh", "-c", "id -u; touch /root/x; stat -c %u /root/x")).stdout, "0\n0\n");
      const gofer = (await processesOf(box.engine)).find(({ command }) => command.startsWith("runsc-gofer"));
      assert.match(await readFile(`/proc/${gofer?.pid}/uid_map`, "utf8"), /^ *0 +100000 +65536\n$/);
    });

    scenario("flags and annotations reach runsc", async (box) => {
      const logs = join(box.engine.dir, "logs");
      const debug = `[runsc_config]\ndebug = true\ndebug-log = "${logs}/%ID%/"\nallow-flag-override = "true"`;
      const id = box.engine.newId();
      assert.equal((await box.run({ ...(await runsc(box, debug)), id }, "true")).code, 0);
      assert.ok((await readdir(join(logs, id))).some((name) => name.includes("boot")));
      await using running = await box.start(
        await runsc(box, 'io_uid = 7\n[runsc_config]\nnetwork = "none"'),
        "sleep",
        "9",
      );
      const shown = JSON.parse(await readFile(join(bundleOf(box, running.id), "runsc/effective.json"), "utf8"));
      assert.match(shown.settings["runsc_config.network"].source, /\.toml$/);
      const { io_uid: ioUid, root, "runsc_config.platform": platform } = shown.settings;
      assert.deepEqual([ioUid.value, root.value, root.source], [7, "/run/containerd/runsc", "default"]);
      assert.match(platform.source, /^default: the first that starts here$/);
      const annotated = ["--annotation", "dev.gvisor.flag.file-access=shared"];
      const { flags = [] } = await runsc(box);
      assert.match((await box.run({ flags: [...flags, ...annotated] }, "true")).stderr, /flag override disabled/);
    });

    scenario("a pod of three containers: one sandbox, each one's exit; the sandbox's end ends all", async (box) => {
      const { flags = [] } = await runsc(box);
      const pod = box.engine.newId();
      const as = (type: string) => {
        const cri = [`container-type=${type}`, `sandbox-id=${pod}`];
        return { flags: [...flags, ...cri.flatMap((each) => ["--annotation", `io.kubernetes.cri.${each}`])] };
      };
      await using pause = await box.start({ ...as("sandbox"), id: pod }, "sleep", "1000");
      const job = await box.run(as("container"), "sh", "-c", "cat /proc/version; exit 7");
      assert.deepEqual([job.code, job.stdout.slice(0, 19)], [7, "Linux version 4.4.0"]);
      await using one = await box.start(as("container"), "sleep", "1000");
      await using two = await box.start(as("container"), "sh", "-c", FOREVER);
      const pids = await Promise.all([pause, one, two].map((each) => each.listed()));
      assert.deepEqual(new Set(pids.map((each) => each?.pid)).size, 1, "all are shown with their sandbox's pid");
      assert.equal((await processesOf(box.engine)).filter(isMonitor).length, 1);
      assert.deepEqual([(await one.exec({}, "sh", "-c", "exit 4")).code, (await two.exec({}, "true")).code], [4, 0]);
      await two.taskOk("kill", "-s", "TERM");
      await two.reached("STOPPED");
      assert.equal((await one.listed())?.status, "RUNNING");
      await pause.taskOk("kill", "-s", "9");
      await pause.reached("STOPPED");
      await one.reached("STOPPED");
      assert.match((await one.task("rm")).stderr, /exit code 137|^$/);
    });

    scenario(
      "100 in a row (30 but on containerd 2.x), as many execs, 8 at once leave nothing: no process, mount, cgroup, file, descriptor",
      async (box) => {
        const options = await runsc(box);
        await using container = await box.start(options, "sleep", "1000");
        const round = async (n: number) => {
          assert.equal((await box.run(options, "sh", "-c", `exit ${n}`)).code, n);
          assert.equal((await container.exec({}, "sh", "-c", `exit ${n}`)).code, n);
        };
        await round(0); // what is opened once
        const before = { all: await snapshot(box.engine), descriptors: await descriptors(box) };
        const is100 =
          process.env.E2E_MANY === "long" || (box.engine.kind === "containerd" && box.engine.version === "2.x");
        for (let n = 1; n <= (is100 ? 100 : 30); n++) await round(n);
        const atOnce = Array.from({ length: 8 }, (_, n) => box.run(options, "sh", "-c", `echo ${n}; exit ${n}`));
        assert.deepEqual(
          (await Promise.all(atOnce)).map(({ code, stdout }) => [code, stdout]),
          atOnce.map((_, n) => [n, `${n}\n`]),
        );
        await assertNoLeaks(box.engine, before.all);
        assert.deepEqual(await settled(() => descriptors(box), before.descriptors), before.descriptors);
      },
    );
  },
  { runtimes: [GVISOR], onOurDaemonToo: true },
);
