/** Pods in real machines. Emulated, on a machine that does other things too: each takes seconds. Needs `npm run build`. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { truncate, writeFile } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { runDelete, Shim } from "@trimaran/shim-check";
import { Code } from "ttrpc-ts";
import { cgroupsOf, filesOf, mountsOf, processesOf } from "../../../e2e/harness/belongings.ts";
import { buildRootfs } from "../../../e2e/harness/images.ts";
import { KataTemplates } from "../../../e2e/harness/kata-templates.ts";
import { run, runOk } from "../../../e2e/harness/process.ts";
import { ShimYard, type StartedShim } from "../../../e2e/harness/shims.ts";
import { podPlaces } from "../src/machine/places.ts";
import { assertConfined } from "./confinement.ts";
import { ensureBuiltImage, execWith, killTaskServers, MACHINES, openClient, serverLog, startWith } from "./session.ts";

const TYPE = "io.kubernetes.cri.container-type";
const RESOURCES = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";
const SANDBOX = "io.kubernetes.cri.sandbox-id";

describe("kata, in machines", { timeout: 900_000 }, () => {
  let yard: ShimYard;
  const templates = new KataTemplates();
  after(() => templates[Symbol.dispose]());
  before(ensureBuiltImage);
  beforeEach(async () => {
    yard = await ShimYard.open(MACHINES);
    templates.serve(yard.trimaranState);
  });
  afterEach(async (context) => {
    const passed = "passed" in context && context.passed === true;
    if (!passed) console.error(await serverLog(yard), consoles());
    const left = passed ? await leftBehind() : [];
    await yard[Symbol.asyncDispose]();
    assert.deepEqual(left, []);
  });

  /** What the guests have said last. */
  function consoles(): string {
    const folder = join(yard.trimaranState, "kata");
    const pods = existsSync(folder) ? readdirSync(folder) : [];
    const logs = pods.flatMap((pod) =>
      ["vm/console.log", "vm/qemu.log", "fs.log"].map((name) => join(folder, pod, name)),
    );
    return logs
      .map((path) => (existsSync(path) ? `${path}:\n${readFileSync(path, "latin1").slice(-2000)}` : ""))
      .join("\n");
  }

  async function leftBehind(): Promise<unknown[]> {
    const { dir, address } = yard.containerd;
    const scope = { tag: yard.tag, dir, namespace: yard.tag, address, ids: yard.ids };
    const kata = join(yard.trimaranState, "kata");
    for (let tries = 0; ; tries++) {
      await killTaskServers(yard);
      const processes = (await processesOf(scope)).filter(({ state }) => state !== "Z");
      const things = [await cgroupsOf(scope), await filesOf(scope), await mountsOf(scope)];
      const left = [...processes, ...things.flat(), ...(existsSync(kata) ? readdirSync(kata) : [])];
      if (left.length === 0 || tries === 50) return left;
      await delay(100);
    }
  }

  async function finish(started: StartedShim): Promise<number> {
    const { exitStatus } = await started.shim.task.wait({ id: started.id });
    await started.shim.remove();
    return exitStatus;
  }

  test("another kernel; what is written is seen outside, and the host does not see the process", async () => {
    const port = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start";
    const script = `uname -r; hostname; echo inside > /made; read line; echo $line; ${port}; exit 7`;
    const started = await yard.start(["sh", "-c", script]);
    changeSpec(started, ({ linux }) => {
      linux.sysctl = { "net.ipv4.ip_unprivileged_port_start": "77" };
    });
    const client = await openClient(yard, { stdin: true });
    await startWith(started, client);
    await checkPrivileges(yard);
    const seen = (await processesOf(yard)).filter(({ command }) => command.includes(script));
    assert.deepEqual(seen, []);
    client.stdin?.end("from the client\n");
    assert.equal(await finish(started), 7);
    const [kernel, hostname, line, first] = (await client.stdout).toString().split("\n");
    assert.notEqual(kernel, release());
    assert.deepEqual([hostname, line, first], [started.id, "from the client", "77"]);
    const made = join(yard.containerd.dir, "snapshots", started.id, "fs/made");
    assert.equal(readFileSync(made, "utf8"), "inside\n");
  });

  test("execs, a terminal, pause, stats, a signal; the task server is killed in between", async () => {
    const started = await yard.start(["sh", "-c", "trap 'exit 23' TERM; while :; do sleep 0.1; done"]);
    await started.create();
    const { id } = started;
    const { task } = started.shim;
    await task.start({ id });
    const client = await openClient(yard);
    await execWith(started, "one", ["sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x; exit 5"], client);
    await killTaskServers(yard);
    assert.equal((await task.wait({ id, execId: "one" })).exitStatus, 5);
    await task.delete({ id, execId: "one" });
    assert.equal((await client.stdout).toString(), "x".repeat(300_000));
    const terminal = await openClient(yard, { terminal: true });
    await execWith(started, "tty", ["sh", "-c", "test -t 1 && tty"], terminal, true);
    assert.equal((await task.wait({ id, execId: "tty" })).exitStatus, 0);
    await task.delete({ id, execId: "tty" });
    assert.match((await terminal.stdout).toString(), /^\/dev\/pts\/\d+\r\n$/);
    await task.pause({ id });
    assert.equal((await task.state({ id })).status, 4);
    await killTaskServers(yard);
    await task.resume({ id });
    assert.ok(((await task.stats({ id })).stats?.value.length ?? 0) > 0);
    const limit = Buffer.from(JSON.stringify({ memory: { limit: 20_000_000, swap: 20_000_000 } }));
    await task.update({ id, resources: { typeUrl: RESOURCES, value: limit } });
    await execWith(started, "hog", ["sh", "-c", "tail /dev/zero"], undefined);
    assert.equal((await task.wait({ id, execId: "hog" })).exitStatus, 137, "killed in the guest");
    await task.delete({ id, execId: "hog" });
    const topics = yard.containerd.events.map(({ topic }) => topic);
    assert.ok(topics.includes("/tasks/oom"), topics.join(" "));
    await task.kill({ id, signal: 15 });
    assert.equal(await finish(started), 23);
  });

  test("execs without input, which the guest's monitor runs: output through a restart, a signal, a failure, a name again", async () => {
    const started = await yard.start(["sh", "-c", "while :; do sleep 0.1; done"]);
    await started.create();
    const { id } = started;
    const { task } = started.shim;
    await task.start({ id });
    const exec = async (execId: string, script: string) => {
      const client = await openClient(yard);
      await execWith(started, execId, ["sh", "-c", script], client);
      return client;
    };
    const end = async (execId: string) => {
      const { exitStatus } = await task.wait({ id, execId });
      await task.delete({ id, execId });
      return exitStatus;
    };
    const one = await exec("one", "head -c 300000 /dev/zero | tr '\\0' x; echo said >&2; exit 5");
    await killTaskServers(yard);
    assert.equal(await end("one"), 5);
    assert.equal((await one.stdout).toString(), "x".repeat(300_000));
    assert.equal((await one.stderr).toString(), "said\n");
    const again = await exec("one", "sleep 1000 & echo again; exit 6");
    assert.equal(await end("one"), 6, "a child that keeps the output delays nothing");
    assert.equal((await again.stdout).toString(), "again\n");
    await assert.rejects(execWith(started, "none", ["/nope"], undefined), /\/nope.*does not exist|no such file/i);
    await execWith(started, "long", ["sleep", "1000"], undefined);
    await task.kill({ id, execId: "long", signal: 15 });
    assert.equal(await end("long"), 143);
    await assert.rejects(task.kill({ id, execId: "long", signal: 15 }), { code: Code.NotFound });
    await task.kill({ id, signal: 9 });
    assert.equal(await finish(started), 137);
  });

  test("a pod of two, with a volume of the host; the machine is killed, and every task of it ends with the reason", async () => {
    const sandboxId = `${yard.tag}-${yard.ids.length}`;
    const pause = await yard.start(["sleep", "1000"], { annotations: { [TYPE]: "sandbox", [SANDBOX]: sandboxId } });
    await pause.create();
    await pause.shim.task.start({ id: pause.id });
    const annotations = { [TYPE]: "container", [SANDBOX]: sandboxId };
    const volume = join(yard.containerd.dir, "volume");
    mkdirSync(volume);
    writeFileSync(join(volume, "in"), "from outside\n");
    const one = await yard.start(["sh", "-c", "cat /data/in; echo back > /data/out"], { annotations });
    addBind(one, volume, "/data");
    const client = await openClient(yard);
    await startWith(one, client);
    assert.equal(await finish(one), 0);
    assert.equal((await client.stdout).toString(), "from outside\n");
    assert.equal(readFileSync(join(volume, "out"), "utf8"), "back\n");
    const two = await yard.start(["sleep", "1000"], { annotations });
    const { pid } = await two.create();
    await two.shim.task.start({ id: two.id });
    const { machine } = podPlaces(yard.trimaranState, yard.tag, sandboxId);
    assertConfined(pid, machine, yard.trimaranState);
    process.kill(pid, "SIGKILL");
    assert.equal((await two.shim.task.wait({ id: two.id })).exitStatus, 255);
    assert.equal((await pause.shim.task.wait({ id: pause.id })).exitStatus, 255);
    for (const { shim } of [two, pause]) await shim.remove();
  });

  test("block devices: nodes and mounts, read-only ones stay so; two containers have one; what is written is outside", async () => {
    const sandboxId = `${yard.tag}-${yard.ids.length}`;
    await using data = await LoopDevice.open(yard, "data", 8 << 20);
    await using fixed = await LoopDevice.open(yard, "fixed", 1 << 20);
    await using system = await LoopDevice.open(yard, "system", 16 << 20);
    await runOk(["mkfs.ext4", "-q", system.path]);
    await writeFile(fixed.path, "as it was");
    await writeFile(data.path, Buffer.alloc(8 << 20, "x"));
    const script = [
      "head -c 9 /dev/fixed; stat -c ' %a %u' /dev/data",
      "cmp -n 9 /raw /dev/fixed; blockdev --getsize64 /dev/data",
      "for to in /dev/fixed /raw; do echo x 2>/dev/null >$to && echo $to was written; done",
      "dd if=/dev/zero of=/dev/data bs=1M count=6 2>&1; echo inside > /system/made",
      "mknod /tmp/image b 254 0; cat /tmp/image > /dev/null 2>&1 && echo the image was read",
      "sync; echo end",
    ].join("\n");
    const started = await yard.start(["sh", "-c", script], {
      annotations: { [TYPE]: "sandbox", [SANDBOX]: sandboxId },
    });
    changeSpec(started, (spec) => {
      giveDisk(spec, "/dev/data", data, "rwm");
      giveDisk(spec, "/dev/fixed", fixed, "rm");
      spec.mounts.push({ type: "bind", source: fixed.path, destination: "/raw", options: ["rbind", "ro"] });
      spec.mounts.push({ type: "ext4", source: system.path, destination: "/system", options: ["noatime"] });
    });
    const client = await openClient(yard);
    await startWith(started, client);
    assert.equal((await started.shim.task.wait({ id: started.id })).exitStatus, 0);
    await using image = await LoopDevice.open(yard, "image", 32 << 20);
    await runOk(["mkfs.ext4", "-q", "-d", await buildRootfs(), image.path]);
    const other = await yard.start(["sh", "-c", "head -c 3 /mine; grep -c ' / ' /proc/mounts; echo made > /made"], {
      annotations: { [TYPE]: "container", [SANDBOX]: sandboxId },
    });
    changeSpec(other, (spec) => giveDisk(spec, "/mine", data, "rm"));
    const another = await openClient(yard);
    const rootfs = [{ type: "ext4", source: image.path, target: "", options: [] }]; // as a devmapper snapshot is
    await startWith({ ...other, bundle: Object.assign(other.bundle, { mounts: rootfs }) }, another);
    assert.equal(await finish(other), 0);
    assert.equal((await another.stdout).toString(), "\0\0\x001\n");
    const refused = await yard.start(["true"], { annotations: { [TYPE]: "container", [SANDBOX]: sandboxId } });
    changeSpec(refused, (spec) => giveDisk(spec, "/mine", fixed, "rwm"));
    await assert.rejects(refused.create(), /linux\.devices\[0\] "\/mine" "\/dev\/loop\d+": .* has it read-only/);
    await refused.shim.close();
    assert.equal(await finish(started), 0);
    const said = (await client.stdout).toString();
    const copied = "6+0 records in\n6+0 records out\n";
    assert.equal(said.replace(/^.*copied.*\n/m, ""), `as it was 640 3\n${8 << 20}\n${copied}end\n`);
    const zeros = Buffer.alloc(6 << 20); // more than QEMU may write into a file
    assert.ok(readFileSync(data.file).equals(Buffer.concat([zeros, Buffer.alloc(2 << 20, "x")])));
    assert.equal(readFileSync(fixed.file, "latin1").slice(0, 9), "as it was");
    const seen = join(yard.containerd.dir, "seen");
    mkdirSync(seen);
    await runOk(["mount", system.path, seen]);
    assert.equal(readFileSync(join(seen, "made"), "utf8"), "inside\n");
    await runOk(["umount", seen]);
  });

  test("a pod's network: two machines ping each other and move bytes", async () => {
    const [a, b] = [`${yard.tag}a`, `${yard.tag}b`];
    const ip = (...args: string[]) => runOk(["ip", ...args]);
    try {
      for (const name of [a, b]) await ip("netns", "add", name);
      await ip("-n", a, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", b);
      for (const [name, address] of [
        [a, "10.9.8.1"],
        [b, "10.9.8.2"],
      ] as const) {
        await ip("-n", name, "addr", "add", `${address}/24`, "dev", "eth0");
        await ip("-n", name, "link", "set", "eth0", "up", "mtu", "1400");
      }
      await ip("-n", a, "route", "add", "default", "via", "10.9.8.2");
      const server = await yard.start(
        ["sh", "-c", "mkfifo /f; head -c 32 /dev/urandom | sha256sum >&2; nc -l -p 5000 <>/f | sha256sum"],
        {
          networkNamespace: `/run/netns/${a}`,
        },
      );
      const client = await yard.start(
        [
          "sh",
          "-c",
          "head -c 32 /dev/urandom | sha256sum >&2; ping -c 1 -W 20 10.9.8.1 >&2; ip addr show eth0 >&2; sleep 1; head -c 1000000 /dev/zero | nc -w 30 10.9.8.1 5000",
        ],
        { networkNamespace: `/run/netns/${b}` },
      );
      const [serverClient, clientClient] = [await openClient(yard), await openClient(yard)];
      await startWith(server, serverClient);
      await startWith(client, clientClient);
      assert.equal((await client.shim.task.wait({ id: client.id })).exitStatus, 0);
      const said = (await clientClient.stderr).toString();
      assert.match(said, /1 packets received|1 received/);
      assert.match(said, /mtu 1400.*10\.9\.8\.2\/24/s);
      assert.equal(await finish(server), 0); // before its peer goes, with what its kernel has not sent yet
      assert.equal(await finish(client), 0);
      const zeros = createHash("sha256").update(Buffer.alloc(1_000_000)).digest("hex");
      assert.equal((await serverClient.stdout).toString(), `${zeros}  -\n`);
      assert.doesNotMatch(await runOk(["ip", "-n", a, "link"]), /trimaran0/, "the tap is gone");
      const [drawn = ""] = /^[0-9a-f]{64}/m.exec(said) ?? [];
      assert.ok(drawn !== "" && !(await serverClient.stderr).includes(drawn), "clones draw different random numbers");
    } finally {
      for (const name of [a, b]) await run(["ip", "netns", "del", name]);
    }
  });

  test("the same container again: nobody of the first one's talks to its machine", async () => {
    const { bundle, options } = await yard.prepare(["sh", "-c", "exit 6"]);
    for (let round = 0; round < 2; round++) {
      const shim = await Shim.start(options);
      const again = { bundle, shim, id: bundle.id, create: () => Promise.reject(new Error("unused")) };
      await startWith(again, await openClient(yard));
      assert.equal(await finish(again), 6);
    }
  });

  test("a machine that can't be made is an error of Create that names the field, and leaves nothing", async () => {
    const started = await yard.start(["true"]);
    changeSpec(started, (spec) => {
      spec.linux.resources.memory = { limit: 2 ** 50 };
    });
    await assert.rejects(started.create(), /linux\.resources\.memory\.limit: .* default_maxmemory/);
    changeSpec(started, ({ linux }) => {
      linux.namespaces = linux.namespaces.filter(({ type }) => type !== "network");
    });
    await assert.rejects(started.create(), /linux\.namespaces: no network namespace: the host's network can't be had/);
    await started.shim.task.shutdown({ id: started.id }).catch(() => undefined);
    await started.shim.close();
  });

  test("kill -9 of the task server while a machine starts; of the monitor when it runs", async () => {
    const started = await yard.start(["sleep", "1000"]);
    const creating = started.create();
    await delay(700);
    await killTaskServers(yard);
    await creating;
    await started.shim.task.start({ id: started.id });
    const { shimPid } = await started.shim.task.connect({ id: started.id });
    process.kill(shimPid, "SIGKILL");
    started.shim.abandon();
    assert.equal((await runDelete(started.shim.options)).exitStatus, 137);
  });
});

/** QEMU, and the program that reads what the guest says of files, have no capabilities; QEMU is where the pod is. */
async function checkPrivileges(yard: ShimYard): Promise<void> {
  const processes = await processesOf(yard);
  for (const name of ["qemu-system", "trimaran-fsbridge"]) {
    const { pid = 0 } = processes.find(({ command }) => command.includes(name)) ?? {};
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    assert.match(status, /^CapPrm:\t0{16}$/m, name);
    assert.match(status, /^CapEff:\t0{16}$/m, name);
    assert.match(readFileSync(`/proc/${pid}/cgroup`, "utf8"), new RegExp(`/${yard.tag}/`), name);
    if (name !== "qemu-system") continue;
    assert.match(status, /^NoNewPrivs:\t1$/m);
    assert.match(status, /^Seccomp:\t2$/m);
    assert.notEqual(readlinkSync(`/proc/${pid}/ns/net`), readlinkSync("/proc/self/ns/net"));
  }
}

function addBind(started: StartedShim, source: string, destination: string): void {
  changeSpec(started, (spec) => void spec.mounts.push({ type: "bind", source, destination, options: ["rbind", "rw"] }));
}

interface TestSpec {
  readonly mounts: object[];
  readonly linux: {
    readonly resources: { memory?: object; readonly devices: object[] };
    sysctl?: Readonly<Record<string, string>>;
    devices?: object[];
    namespaces: readonly { readonly type: string }[];
  };
}

/** A file as a block device of this host. */
class LoopDevice implements AsyncDisposable {
  readonly path: string;
  readonly file: string;

  private constructor(path: string, file: string) {
    this.path = path;
    this.file = file;
  }

  static async open(yard: ShimYard, name: string, sizeBytes: number): Promise<LoopDevice> {
    const file = join(yard.containerd.dir, name);
    await writeFile(file, "");
    await truncate(file, sizeBytes);
    return new LoopDevice((await runOk(["losetup", "--find", "--show", file])).trim(), file);
  }

  get minor(): number {
    return Number(/\d+$/.exec(this.path)?.[0]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await runOk(["losetup", "--detach", this.path]);
  }
}

function giveDisk({ linux }: TestSpec, path: string, { minor }: LoopDevice, access: string): void {
  const device = { type: "b", major: 7, minor };
  linux.devices = [...(linux.devices ?? []), { path, ...device, fileMode: 0o640, uid: 3 }];
  linux.resources.devices.push({ allow: true, ...device, access });
}

function changeSpec({ bundle }: StartedShim, change: (spec: TestSpec) => void): void {
  const path = join(bundle.path, "config.json");
  const spec = JSON.parse(readFileSync(path, "utf8"));
  change(spec);
  writeFileSync(path, JSON.stringify(spec));
}
