import assert from "node:assert/strict";
import { mkdirSync, readFileSync, readlinkSync, rmdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { detectCgroups } from "../cgroup/host.ts";
import { parseProcess } from "../spec/process.ts";
import { defaultSpec } from "./testing/default-spec.ts";
import { type PlanChange, type Running, TestPod } from "./testing/pod.ts";

let pod: TestPod;
before(async () => {
  pod = await TestPod.open();
});
after(() => pod[Symbol.asyncDispose]());

type Config = ReturnType<typeof defaultSpec>;

const NAMESPACES = ["pid", "ipc", "uts", "mnt", "net", "cgroup", "user", "time"];

async function withContainer(
  change: (config: Config) => unknown,
  use: (container: Running) => Promise<void>,
  plan: PlanChange = {},
): Promise<void> {
  const config = defaultSpec(["sleep", "1000"]);
  change(config);
  const container = await pod.create(config, plan);
  assert.equal(container.failure, undefined);
  await container.start();
  try {
    await use(container);
  } finally {
    container.kill();
    await container.end();
  }
}

function processOf(args: readonly string[], change: object = {}) {
  return parseProcess({ ...defaultSpec(args).process, ...change });
}

test("exec joins every namespace and cgroup, owns nothing else, and is a child of the monitor", async () => {
  const { hierarchies, unified } = detectCgroups();
  const names = new Set(["memory", "pids", "freezer"]);
  const used = hierarchies.filter(({ controllers }) => controllers.some((name) => names.has(name)));
  const folders = used.map(({ mountPoint }) => `${mountPoint}/launch-exec`);
  const into = `${unified?.mountPoint}/launch-exec`;
  for (const folder of [...folders, into]) mkdirSync(folder, { recursive: true });
  const cgroup = { attachFiles: folders.map((folder) => `${folder}/tasks`), into, ownDirs: [] };
  const change = ({ linux }: Config) => linux.namespaces.push({ type: "cgroup" }, { type: "time" });
  await withContainer(
    change,
    async (container) => {
      const script = `for n in ${NAMESPACES.join(" ")}; do readlink /proc/self/ns/$n; done; cat /proc/self/cgroup`;
      const { stdout, failure } = await (await pod.exec(container, processOf(["sh", "-c", script]))).end();
      assert.equal(failure, undefined);
      assert.deepEqual(
        stdout.split("\n").slice(0, 8),
        NAMESPACES.map((name) => readlinkSync(`/proc/${container.pid}/ns/${name}`)),
      );
      const sleeper = await pod.exec(container, processOf(["/bin/busybox", "sleep", "1000"]));
      const cgroups = (pid: number) => readFileSync(`/proc/${pid}/cgroup`, "utf8");
      assert.equal(cgroups(sleeper.pid), cgroups(container.pid));
      const own = cgroups(sleeper.pid).match(/:\/launch-exec$/gm);
      assert.equal(own?.length, folders.length + 1);
      sleeper.kill();
      assert.equal((await sleeper.end()).code, 137);
      const fds = await (await pod.exec(container, processOf(["/bin/busybox", "ls", "/proc/self/fd"]))).end();
      assert.equal(fds.stdout, "0\n1\n2\n3\n");
    },
    { cgroup },
  );
  for (const folder of [...folders, into]) rmdirSync(folder);
});

test("exec: user, caps, cwd, env of its own; errors as for init", async () => {
  await withContainer(
    () => {},
    async (container) => {
      const change = { user: { uid: 1000, gid: 1000 }, capabilities: {}, cwd: "/tmp", env: ["PATH=/bin", "A=b"] };
      const script = "id; pwd; echo $HOME $A; grep -E 'Cap|NoNew' /proc/self/status";
      const { stdout } = await (await pod.exec(container, processOf(["sh", "-c", script], change))).end();
      const caps = ["Inh", "Prm", "Eff", "Bnd", "Amb"].map((set) => `Cap${set}:\t0000000000000000\n`).join("");
      assert.equal(stdout, `uid=1000(user) gid=1000\n/tmp\n/home/user b\n${caps}NoNewPrivs:\t1\n`);
      const failure = async (args: string[], change = {}) =>
        (await (await pod.exec(container, processOf(args, change))).end()).failure;
      assert.match((await failure(["nope"])) ?? "", /executable file not found in \$PATH$/);
      assert.match((await failure(["/nope"])) ?? "", /no such file or directory$/);
      assert.match(
        (await failure(["true"], { cwd: "/nope" })) ?? "",
        /^process\.cwd "\/nope": no such directory inside the rootfs/,
      );
      for (const cwd of ["/proc/self/fd/3", "/proc/self/fd/4", "/proc/self/fd/200", "/proc/1/fd/3"]) {
        assert.match((await failure(["true"], { cwd })) ?? "ran", /^process\.cwd/);
      }
    },
  );
});

test("exec: on these CPUs first, then on those; init and other execs on all", async () => {
  await withContainer(
    () => {},
    async (container) => {
      const cpus = async (change: object) => {
        const process = processOf(["grep", "Cpus_allowed_list", "/proc/self/status"], change);
        return (await (await pod.exec(container, process)).end()).stdout.replace(/\s+/g, " ");
      };
      assert.equal(await cpus({ execCPUAffinity: { initial: "0", final: "1" } }), "Cpus_allowed_list: 1 ");
      assert.equal(await cpus({ execCPUAffinity: { initial: "0" } }), "Cpus_allowed_list: 0 ");
      assert.notEqual(await cpus({}), "Cpus_allowed_list: 0 ");
    },
  );
});

test("exec in a user namespace", async () => {
  const map = [{ containerID: 0, hostID: 100000, size: 65536 }];
  const change = ({ linux }: Config) => {
    linux.namespaces.push({ type: "user" });
    Object.assign(linux, { uidMappings: map, gidMappings: map });
  };
  await withContainer(change, async (container) => {
    const script = "id -u; readlink /proc/self/ns/user; grep CapEff /proc/self/status; ulimit -n";
    const { stdout, failure } = await (await pod.exec(container, processOf(["sh", "-c", script]))).end();
    assert.equal(failure, undefined);
    assert.equal(stdout, `0\n${readlinkSync(`/proc/${container.pid}/ns/user`)}\nCapEff:\t00000000a80425fb\n1024\n`);
    const other = await (await pod.exec(container, processOf(["id", "-u"], { user: { uid: 5, gid: 5 } }))).end();
    assert.equal(other.stdout, "5\n");
  });
});

test("terminal: tty, size, session, /dev/console; the master is the monitor's", async () => {
  const config = defaultSpec([
    "sh",
    "-c",
    "tty; stty size; echo x > /dev/tty; stat -c '%t:%u' /dev/console; echo c > /dev/console; ls -1 /dev/pts; test -t 0 && echo in",
  ]);
  Object.assign(config.process, { terminal: true, user: { uid: 1000, gid: 1000 } });
  const container = await pod.create(config, {}, { width: 91, height: 17 });
  assert.equal(container.failure, undefined);
  const { stdout, code } = await container.end();
  assert.equal(code, 0);
  assert.equal(stdout.replaceAll("\r", ""), "/dev/pts/0\n17 91\nx\n88:1000\nc\n0\nptmx\nin\n");
});

test("terminal of an exec, also in a user namespace; without devpts an error", async () => {
  const script = "tty; stty size; echo x > /dev/tty";
  const map = [{ containerID: 0, hostID: 100000, size: 65536 }];
  const withUser = ({ linux }: Config) => {
    linux.namespaces.push({ type: "user" });
    Object.assign(linux, { uidMappings: map, gidMappings: map });
  };
  for (const change of [() => {}, withUser]) {
    await withContainer(change, async (container) => {
      const process = processOf(["sh", "-c", script], { terminal: true });
      const { stdout, failure } = await (await pod.exec(container, process, { width: 40, height: 10 })).end();
      assert.equal(failure, undefined);
      assert.equal(stdout.replaceAll("\r", ""), "/dev/pts/0\n10 40\nx\n");
    });
  }
  const noPts = (config: Config) => {
    config.mounts = config.mounts.filter(({ type }) => type !== "devpts");
  };
  await withContainer(noPts, async (container) => {
    const outcome = await pod.exec(container, processOf(["true"], { terminal: true }), {});
    assert.equal(outcome.failure, "process.terminal: target does not exist (ENOENT from resolve target)");
  });
});

test("exec into a container whose init has gone", async () => {
  const container = await pod.create(defaultSpec(["true"]));
  await container.start();
  await container.end();
  const late = await pod.exec(container, processOf(["true"]));
  assert.match(late.failure ?? "", /^init's namespaces: .*ESRCH/);
});
