import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { processesOf } from "./harness/belongings.ts";
import type { ContainerOptions } from "./harness/container.ts";
import { BUILD_BIN } from "./harness/containerd.ts";
import { watchEvents } from "./harness/events.ts";
import { checkExecs, checkPause, checkTerminals, FOREVER } from "./harness/isolated.ts";
import { assertNoLeaks, snapshot } from "./harness/leaks.ts";
import { type Box, KATA, matrix } from "./harness/matrix.ts";
import { openPodNetworks } from "./harness/pod-networks.ts";
import { run, runOk } from "./harness/process.ts";

const RANDOM = "head -c 32 /dev/urandom | sha256sum";
const BOOT_ID = "cat /proc/sys/kernel/random/boot_id";
/** The same in all scenarios with limits: each size of a machine is a template that has to boot. */
const LIMITS = ["--memory-limit", String(64 << 20), "--cpus", "1.5"];
const CGROUP = ["--mount", "type=cgroup,src=cgroup,dst=/sys/fs/cgroup,options=ro"];

/** The shim's configuration; `toml` is added to its [hypervisor.qemu]. */
async function kata(box: Box, toml = "", flags: readonly string[] = []): Promise<ContainerOptions> {
  return await configured(box, `[hypervisor.qemu]\n${toml}`, flags);
}

async function configured(box: Box, toml: string, flags: readonly string[] = []): Promise<ContainerOptions> {
  const name = createHash("sha256").update(toml).digest("hex").slice(0, 12);
  const file = join(box.engine.dir, `${name}.toml`);
  await writeFile(file, toml);
  return { flags: ["--runtime-config-path", file, ...flags] };
}

/** Flags of a container that is a pod's first, or one of its others. */
function podFlags(type: "sandbox" | "container", pod: string): string[] {
  const annotations = [`container-type=${type}`, `sandbox-id=${pod}`];
  return annotations.flatMap((each) => ["--annotation", `io.kubernetes.cri.${each}`]);
}

async function killTaskServers({ engine }: Box): Promise<void> {
  for (const pid of await engine.taskServerPids()) {
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error; // it ended by itself
    }
  }
}

/** A container that stays in state "created" is ctr's to remove. */
async function removeFailed({ engine }: Box, id: string): Promise<void> {
  await engine.ctr("task", "rm", "--force", id);
  await engine.ctr("container", "rm", id);
}

/** Everything over every engine: E2E_KATA=long. Else what is not about the engine, and what packages/shim-kata/e2e does without one, is left out. */
const IS_LONG = process.env.E2E_KATA === "long";
const ROUNDS = IS_LONG ? 30 : 5;
const AT_ONCE = 20;

matrix(
  "kata",
  (scenario) => {
    scenario("another kernel, and the host does not see the process; both streams, exit status", async (box) => {
      const script = "uname -r; echo e >&2; exit 5";
      const done = await box.run(await kata(box), "sh", "-c", script);
      assert.deepEqual([done.code, done.stderr], [5, "e\n"]);
      assert.match(done.stdout, /^\d+\.\d+\.\S+\n$/);
      assert.notEqual(done.stdout.trim(), release());
      await using container = await box.start(await kata(box), "sleep", "4711");
      const commands = (await processesOf(box.engine)).map(({ command }) => command);
      assert.ok(commands.some((each) => each.includes("qemu-system")));
      assert.deepEqual(
        commands.filter((each) => each.startsWith("sleep 4711")),
        [],
      );
      const pid = (await container.listed())?.pid ?? 0; // QEMU's: what the host can see
      assert.match(await readFile(`/proc/${pid}/cmdline`, "latin1"), /^[^\0]*qemu-system/);
    });

    scenario("exec: the same machine; exit status, signal, stdin, a command that is missing", async (box) => {
      await using container = await box.start(await kata(box), "sh", "-c", `${BOOT_ID} > /tmp/boot; sleep 1000`);
      const wait = "until [ -s /tmp/boot ]; do sleep 0.02; done";
      const inside = await container.exec({}, "sh", "-c", `${wait}; cat /tmp/boot; ${BOOT_ID}; exit 9`);
      const [first, second] = inside.stdout.trim().split("\n");
      assert.match(first ?? "", /^[0-9a-f-]{36}$/);
      assert.deepEqual([inside.code, second], [9, first]);
      assert.notEqual(first, readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim());
      assert.equal((await container.exec({}, "sh", "-c", "kill -9 $$")).code, 137);
      const input = "x".repeat(1 << 20);
      assert.equal((await container.exec({ stdin: input }, "wc", "-c")).stdout.trim(), String(input.length));
      assert.match((await container.exec({}, "/nope")).stderr, /\/nope.*(no such file|not found|does not exist)/i);
      await checkExecs(box, container, 4);
    });

    scenario("terminals: size, what is typed, Ctrl-C; of run and of exec", (box) => checkTerminals(box, kata));

    scenario("pause, resume, metrics, SIGTERM; what was paused is killed", (box) =>
      checkPause(box, kata, /^memory\.usage +[1-9]/m),
    );

    scenario(
      "a pod of two: one machine, one network; each one's exit; the machine goes with the first one",
      async (box) => {
        const pod = box.engine.newId();
        const as = (type: "sandbox" | "container") => kata(box, "", podFlags(type, pod));
        await using pause = await box.start({ ...(await as("sandbox")), id: pod }, "sleep", "1000");
        const script = `${BOOT_ID}; readlink /proc/self/ns/net`;
        const job = await box.run(await as("container"), "sh", "-c", `${script}; exit 7`);
        assert.deepEqual([job.code, job.stderr], [7, ""]);
        assert.equal((await pause.exec({}, "sh", "-c", script)).stdout, job.stdout);
        await using one = await box.start(await as("container"), "sh", "-c", "echo hello | nc -l -p 5000");
        await using two = await box.start(await as("container"), "sh", "-c", FOREVER);
        const pids = await Promise.all([pause, one, two].map((each) => each.listed()));
        assert.equal(new Set(pids.map((each) => each?.pid)).size, 1, "all are shown with their machine's pid");
        const qemus = (await processesOf(box.engine)).filter(({ command }) => command.includes("qemu-system"));
        assert.equal(qemus.length, 1);
        const heard = await two.exec({}, "sh", "-c", "until nc -w 5 127.0.0.1 5000; do sleep 0.1; done");
        assert.equal(heard.stdout, "hello\n");
        await two.taskOk("kill", "-s", "TERM");
        await two.reached("STOPPED");
        assert.equal((await pause.listed())?.status, "RUNNING");
        await using three = await box.start(await as("container"), "sleep", "1000");
        await pause.taskOk("kill", "-s", "9");
        await pause.reached("STOPPED");
        assert.equal((await three.listed())?.status, "RUNNING", "as with runc");
        assert.match((await pause.task("rm")).stderr, /exit code 137|^$/);
        await three.reached("STOPPED");
      },
    );
  },
  { runtimes: [KATA], onOurDaemonToo: true },
);

matrix(
  "kata, on one engine",
  (scenario) => {
    scenario("limits are the guest's: memory, processors, processes; and the machine grows with them", async (box) => {
      const flags = [...CGROUP, ...LIMITS];
      const files = ["memory.max", "cpu.max"].map((name) => `/sys/fs/cgroup/${name}`);
      const script = `cat ${files.join(" ")}; nproc; grep MemTotal /proc/meminfo`;
      const { code, stdout, stderr } = await box.run(await kata(box, "", flags), "sh", "-c", script);
      assert.equal(code, 0, stderr);
      const [memory, cpu, processors, total] = stdout.trim().split("\n");
      assert.deepEqual([memory, cpu], [String(64 << 20), "150000 100000"]);
      assert.ok(Number(processors) >= 2, `${processors} processors`);
      const totalKb = Number(/\d+/.exec(total ?? "")?.[0]);
      assert.ok(totalKb > 512 << 10 && totalKb < 800 << 10, `512 MiB and the limit, in steps of 256: ${total}`);
    });

    scenario("out of memory: the event, then 137", async (box) => {
      await using events = await watchEvents(box.engine);
      const id = box.engine.newId();
      const options = await kata(box, "", LIMITS);
      const eat = ["dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1"];
      assert.equal((await box.run({ ...options, id }, ...eat)).code, 137);
      await events.reached(id, "/tasks/delete");
      const topics = events.of(id).map(({ topic }) => topic.slice("/tasks/".length));
      assert.deepEqual(topics, ["create", "start", "oom", "exit", "delete"]);
    });

    scenario("QEMU, virtiofsd, the bridge or the shim is killed: the exit is told, and all is gone", async (box) => {
      for (const victim of ["qemu-system", "virtiofsd", "trimaran-fsbridge"]) {
        await using container = await box.start(await kata(box), "sleep", "1000");
        const attached = container.attach();
        await container.exec({}, "sleep", "0.2");
        const found = (await processesOf(box.engine)).find(({ command }) => command.includes(victim));
        assert.ok(found, `${victim} runs`);
        process.kill(found.pid, "SIGKILL");
        assert.equal((await attached).code, 255, victim);
      }
      await using last = await box.start(await kata(box), "sleep", "1000");
      const qemu = (await last.listed())?.pid ?? 0;
      const { parent = 0 } = (await processesOf(box.engine)).find(({ pid }) => pid === qemu) ?? {};
      process.kill(parent, "SIGKILL");
      await last.reached("absent");
    });

    scenario("trimaran kata pods, and debug: a shell in the guest, beside the container", async (box) => {
      await using container = await box.start(await kata(box), "sleep", "1000");
      const trimaran = join(BUILD_BIN, "trimaran");
      const env = { ...process.env, TRIMARAN_STATE: box.engine.trimaranState };
      assert.equal(await runOk([trimaran, "kata", "pods"], { env }), `${box.engine.namespace}  ${container.id}\n`);
      const dialogue = [
        { expect: /[#$] /, send: `hostname; cat /etc/machine-id; date +%s; ${BOOT_ID}; ps | grep -c 'sleep 100[0]'\n` },
        { expect: /\n1\r?\n/, send: "\x1d" },
      ];
      const shown = await run([trimaran, "kata", "debug", container.id], { env, dialogue });
      const boot = (await container.exec({}, "sh", "-c", BOOT_ID)).stdout.trim();
      assert.ok(shown.stdout.includes(boot), shown.stdout);
      const [, hostname, machineId, seconds] = /\r\n(\S+)\r\n([0-9a-f]{32})\r\n(\d+)\r\n/.exec(shown.stdout) ?? [];
      assert.equal(hostname, container.id);
      assert.notEqual(machineId, "0".repeat(32));
      assert.ok(Math.abs(Date.now() / 1000 - Number(seconds)) < 15, "the template's clock stood still");
      const [memory] = (await runOk([trimaran, "kata", "memory", "--json"], { env })).trim().split("\n");
      const { guestKb, vmmKb, filesKb, shimKb, pod } = JSON.parse(memory ?? "");
      assert.equal(pod, container.id);
      const parts = [guestKb, vmmKb, filesKb, shimKb];
      assert.ok(parts.every((kb) => kb > 50) && guestKb > shimKb && vmmKb > shimKb, memory ?? "nothing");
      const none = await run([trimaran, "kata", "debug", "nobody"], { env });
      assert.match(none.stderr, /pod "nobody": no machine of that name runs/);
    });

    scenario("bad input: one line with the reason, nothing is left", async (box) => {
      const empty = join(box.engine.dir, "tmp", "empty");
      await writeFile(empty, "no kernel");
      const own = `kernel = "${empty}"\ninitrd = "${empty}"\nimage = "${empty}"`;
      const cases: [ContainerOptions, RegExp][] = [
        [await kata(box, 'path = "/none/qemu"'), /"?\/none\/qemu"?/],
        [await kata(box, 'path = "/bin/true"'), /\/bin\/true/],
        [
          await kata(box, "default_vcpu = 3"),
          /"hypervisor.qemu.default_vcpu" is unknown; "hypervisor.qemu.default_vcpus"\?/,
        ],
        [
          await kata(box, 'kernel = "/none"\ninitrd = "/none"\nimage = "/none"'),
          /hypervisor\.qemu\.kernel "\/none": there is no such file/,
        ],
        [await kata(box, own), /qemu/],
        [await configured(box, "a = = b"), /\.toml: no TOML/],
        [{ flags: ["--runtime-config-path", "/none.toml"] }, /ConfigPath \/none\.toml: can't be read/],
        [await kata(box, 'virtio_fs_daemon = "/none/virtiofsd"'), /\/none\/virtiofsd/],
        [
          await kata(box, "", ["--mount", "type=bind,src=/does/not/exist,dst=/mnt,options=rbind"]),
          /mounts\[\d+\] "\/mnt": source does not exist/,
        ],
      ];
      for (const [options, message] of cases) {
        const done = await box.run(options, "true");
        assert.notEqual(done.code, 0, String(message));
        assert.match(done.stderr, message);
      }
      const id = box.engine.newId();
      assert.match(
        (await box.run({ ...(await kata(box)), id }, "/nope")).stderr,
        /\/nope.*(no such file|not found|does not exist)/i,
      );
      await removeFailed(box, id);
    });

    scenario(`${ROUNDS} pods in a row leave nothing: no process, tap, socket, file, mount, cgroup`, async (box) => {
      const options = await kata(box);
      const round = async (n: number) => {
        assert.equal((await box.run(options, "sh", "-c", `exit ${n}`)).code, n);
      };
      await round(0); // what is opened once
      const before = await snapshot(box.engine);
      const links = interfaces();
      for (let n = 1; n <= ROUNDS; n++) await round(n);
      await assertNoLeaks(box.engine, before);
      assert.deepEqual(
        interfaces().filter((name) => !links.includes(name) && name.startsWith("trimaran")),
        [],
      );
    });
  },
  { runtimes: [KATA], onOurDaemonToo: IS_LONG, ...(!IS_LONG && { engines: ["2.x"] }) },
);

if (IS_LONG)
  matrix(
    "kata, thoroughly",
    (scenario) => {
      scenario(
        "files: a read-only rootfs, volumes, tmpfs, /dev/shm; what is written inside shows outside",
        async (box) => {
          const volume = join(box.engine.dir, "tmp", `volume-${box.engine.newId()}`);
          await mkdir(volume);
          await writeFile(join(volume, "in"), "from outside\n");
          const bind = (target: string, access: string) => [
            "--mount",
            `type=bind,src=${volume},dst=${target},options=rbind:${access}`,
          ];
          const flags = [...bind("/data", "rw"), ...bind("/fixed", "ro")];
          const tmpfs = ["--mount", "type=tmpfs,src=tmpfs,dst=/scratch,options=size=4m:nosuid"];
          const script = [
            "cat /data/in; echo inside > /data/out; cat /fixed/out",
            "touch /root/x /fixed/x",
            "touch /scratch/x /dev/shm/x && grep ' /scratch ' /proc/mounts",
            "exit 6",
          ].join("\n");
          const options = await kata(box, "", ["--read-only", ...flags, ...tmpfs]);
          const done = await box.run(options, "sh", "-c", script);
          assert.deepEqual(done.stdout.split("\n").slice(0, 2), ["from outside", "inside"]);
          assert.match(done.stdout, /^tmpfs \/scratch tmpfs .*size=4096k/m);
          assert.match(done.stderr, /\/root\/x: Read-only file system/);
          assert.match(done.stderr, /\/fixed\/x: Read-only file system/);
          assert.equal(done.code, 6);
          assert.equal(readFileSync(join(volume, "out"), "utf8"), "inside\n");
          await using container = await box.start(await kata(box), "sleep", "1000");
          assert.equal((await container.exec({}, "sh", "-c", "echo a > /made; chmod 640 /made; sync")).code, 0);
          assert.equal((await container.exec({}, "stat", "-c", "%a %u", "/made")).stdout, "640 0\n");
        },
      );

      scenario("a network: two pods ping each other and move bytes by TCP", async (box) => {
        await using networks = await openPodNetworks(box.engine.tag);
        const inside = (index: 0 | 1) => kata(box, "", ["--with-ns", `network:${networks.pods[index].namespace}`]);
        const [server, client] = networks.pods;
        const volume = join(box.engine.dir, "tmp", "received");
        await mkdir(volume);
        const { flags = [] } = await inside(0);
        const bind = ["--mount", `type=bind,src=${volume},dst=/received,options=rbind:rw`];
        const serve = "nc -l -p 5000 | sha256sum > /received/sum";
        const pod = box.engine.newId();
        const first = { id: pod, flags: [...flags, ...bind, ...podFlags("sandbox", pod)] };
        await using listening = await box.start(first, "sh", "-c", serve);
        const ping = await box.run(
          await inside(1),
          "sh",
          "-c",
          `ping -c 1 -W 20 ${server.address} && ip addr show eth0`,
        );
        assert.match(ping.stdout, /1 packets received/, ping.stderr);
        assert.ok(ping.stdout.includes(`${client.address}/24`), ping.stdout);
        await killTaskServers(box); // the next one finds the network as it is
        const joined = await box.run(
          { flags: [...flags, ...podFlags("container", pod)] },
          ...["sh", "-c", "ip addr show eth0; netstat -ltn"],
        );
        assert.match(joined.stdout, new RegExp(`${server.address}/24[^]*:5000 `), joined.stderr);
        const send = `head -c 3000000 /dev/zero | nc -w 30 ${server.address} 5000`;
        assert.equal((await box.run(await inside(1), "sh", "-c", send)).code, 0);
        await listening.reached("STOPPED");
        const zeros = createHash("sha256").update(Buffer.alloc(3_000_000)).digest("hex");
        assert.equal(readFileSync(join(volume, "sum"), "utf8").split(" ")[0], zeros);
        assert.doesNotMatch(await networks.links(1), /trimaran0/, "the tap is gone with its machine");
      });

      scenario("the task server is killed between all verbs: nothing is lost", async (box) => {
        await using container = await box.start(await kata(box), "sh", "-c", FOREVER);
        await killTaskServers(box);
        assert.deepEqual(await container.exec({}, "sh", "-c", "echo hi; exit 4"), {
          code: 4,
          stdout: "hi\n",
          stderr: "",
        });
        const long = container.exec({}, "sh", "-c", "sleep 0.6; exit 6");
        await container.exec({}, "sleep", "0.2");
        await killTaskServers(box);
        assert.equal((await long).code, 6);
        await container.taskOk("pause");
        await killTaskServers(box);
        await container.taskOk("resume");
        await killTaskServers(box);
        await container.taskOk("kill", "-s", "TERM");
        await killTaskServers(box);
        await container.reached("STOPPED");
        for (let round = 0; round < 3; round++) {
          const running = box.run(await kata(box), "sh", "-c", `echo ${round}; exit ${round}`);
          await delay(150 + round * 150);
          await killTaskServers(box);
          assert.deepEqual(await running, { code: round, stdout: `${round}\n`, stderr: "" });
        }
      });

      scenario("two containers of one shim are no pod: each has a machine, and outlives the other's", async (box) => {
        const group = ["--annotation", `io.containerd.runc.v2.group=${box.engine.newId()}`];
        await using one = await box.start(await kata(box, "", group), "sleep", "1000");
        await using two = await box.start(await kata(box, "", group), "sleep", "1000");
        const monitors = (await processesOf(box.engine)).filter(({ command }) =>
          command.startsWith("containerd-shim-"),
        );
        assert.equal(monitors.length, 1);
        const boots = [await one.exec({}, "sh", "-c", BOOT_ID), await two.exec({}, "sh", "-c", BOOT_ID)];
        assert.notEqual(boots[0]?.stdout, boots[1]?.stdout);
        const numbers = [await one.exec({}, "sh", "-c", RANDOM), await two.exec({}, "sh", "-c", RANDOM)];
        assert.match(numbers[0]?.stdout ?? "", /^[0-9a-f]{64}/);
        assert.notEqual(numbers[0]?.stdout, numbers[1]?.stdout, "clones of one template that draw the same numbers");
        await one.taskOk("kill", "-s", "9");
        await one.reached("STOPPED");
        await one.task("rm");
        assert.equal((await two.exec({}, "sh", "-c", "echo a > /f; cat /f; exit 4")).code, 4);
      });

      scenario(
        "a guest that stands still: a SIGKILL ends it, and so does a call that it never answers",
        async (box) => {
          for (const isKilled of [true, false]) {
            await using container = await box.start(await kata(box), "sleep", "1000");
            process.kill((await container.listed())?.pid ?? 0, "SIGSTOP");
            if (isKilled) await container.task("kill", "-s", "9");
            else {
              const late = await container.exec({ timeoutMs: 150_000 }, "true");
              assert.match(late.stderr, /(agent:|the guest) does not answer/);
            }
            await container.reached("STOPPED", 60_000);
            assert.match((await container.task("rm")).stderr, /exit code 255|^$/);
          }
        },
      );

      scenario(`${AT_ONCE} pods at once: each has its own exit status and numbers, nothing is left`, async (box) => {
        const options = { ...(await kata(box)), timeoutMs: 300_000 };
        const all = Array.from({ length: AT_ONCE }, (_, n) => box.run(options, "sh", "-c", `${RANDOM}; exit ${n}`));
        const done = await Promise.all(all);
        for (const [n, { code, stderr }] of done.entries()) assert.equal(code, n, stderr);
        assert.equal(new Set(done.map(({ stdout }) => stdout)).size, AT_ONCE, "clones that draw the same numbers");
      });

      scenario("a volume that is full says so inside", async (box) => {
        const volume = join(box.engine.dir, "tmp", "full");
        await mkdir(volume);
        await runOk(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", volume]);
        try {
          const bind = ["--mount", `type=bind,src=${volume},dst=/data,options=rbind:rw`];
          const write = ["dd", "if=/dev/zero", "of=/data/f", "bs=64k", "count=64"];
          const done = await box.run(await kata(box, "", bind), ...write);
          assert.equal(done.code, 1);
          assert.match(done.stderr, /No space left on device/);
        } finally {
          await runOk(["umount", volume]);
        }
      });

      scenario("containerd is killed: the machine lives on", async (box) => {
        await using container = await box.start(await kata(box), "sleep", "1000");
        const before = [await container.listed(), (await container.exec({}, "sh", "-c", BOOT_ID)).stdout];
        await box.engine.restart();
        assert.deepEqual([await container.listed(), (await container.exec({}, "sh", "-c", BOOT_ID)).stdout], before);
      });
    },
    { runtimes: [KATA], onOurDaemonToo: true },
  );

function interfaces(): string[] {
  return readdirSync("/sys/class/net");
}
