import assert from "node:assert/strict";
import { readFileSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { defaultSpec } from "./testing/default-spec.ts";
import { type Outcome, type PlanChange, TestPod } from "./testing/pod.ts";

let pod: TestPod;
before(async () => {
  pod = await TestPod.open();
});
after(() => pod[Symbol.asyncDispose]());

type Config = ReturnType<typeof defaultSpec> & Record<string, unknown>;

async function run(
  script: string,
  change: (config: Config) => unknown = () => {},
  plan: PlanChange = {},
): Promise<Outcome> {
  const config = defaultSpec(["sh", "-c", script]);
  change(config);
  const container = await pod.create(config, plan);
  return container.end();
}

async function output(script: string, change?: (config: Config) => unknown, plan?: PlanChange): Promise<string> {
  const outcome = await run(script, change, plan);
  assert.equal(outcome.failure, undefined);
  return outcome.stdout.trim();
}

test("the default spec runs, and the host's mount table stays as it was", async () => {
  const before = pod.hostMounts();
  const container = await pod.create(defaultSpec(["sh", "-c", "echo out; echo err >&2; exit 7"]));
  assert.equal(container.failure, undefined);
  assert.equal(pod.hostMounts(), before);
  assert.deepEqual(await container.end(), { failure: undefined, code: 7, stdout: "out\n", stderr: "err\n" });
  assert.equal(pod.hostMounts(), before);
});

test("every new namespace is another one, the others are the host's", async () => {
  const script = "for n in pid ipc uts mnt net cgroup user time; do readlink /proc/self/ns/$n; done";
  const inside = (await output(script)).split("\n");
  const outside = ["pid", "ipc", "uts", "mnt", "net", "cgroup", "user", "time"].map((n) =>
    readlinkSync(`/proc/self/ns/${n}`),
  );
  assert.deepEqual(
    inside.map((name, i) => name === outside[i]),
    [false, false, false, false, false, true, true, true],
  );
});

test("pid 1, session leader, lo is up, /proc and /sys are fresh", async () => {
  const text = await output(
    "echo $$; cat /proc/self/stat | head -c 9; ip addr show lo | grep -o LOOPBACK,UP; ls /sys/class/net",
  );
  assert.match(text, /^1\n/);
  assert.match(text, /LOOPBACK,UP\nlo$/);
});

test("masked files read as empty, masked directories are empty and read-only, missing ones are skipped", async () => {
  const script =
    "cat /proc/keys | wc -c; ls -A /sys/firmware | wc -l; touch /sys/firmware/x; ls -A /proc/acpi; ls /proc/asound";
  const { stdout, stderr } = await run(script.replaceAll("wc", "busybox wc"));
  assert.equal(stdout, "0\n0\n");
  assert.match(stderr, /\/sys\/firmware\/x: Read-only file system/);
});

test("masked paths outside of /proc and /sys, of either kind, and by a link", async () => {
  writeFileSync(pod.path("etc/secret"), "secret");
  symlinkSync("../etc/secret", pod.path("tmp/link"));
  const script = "cat /etc/secret; ls -A /bin/.. | head -n 0; ls -A /run/x; cat /tmp/link; echo end";
  const masked = ["/etc/secret", "/tmp/link", "/run", "/none/at/all", "/tmp", "/proc/version", "/proc/net/none"];
  const text = await output(script, ({ linux }) => Object.assign(linux, { maskedPaths: masked }));
  assert.equal(text, "end");
});

test("read-only paths: EROFS, and the flags that were there stay", async () => {
  const script = "echo 1 > /proc/sys/kernel/hostname; grep ' /proc/sys ' /proc/self/mountinfo";
  const { stdout, stderr } = await run(script);
  assert.match(stderr, /Read-only file system/);
  assert.match(stdout, / ro,nosuid,nodev,noexec/);
});

test("capabilities bit by bit", async () => {
  const capabilities = {
    bounding: ["CAP_CHOWN", "CAP_KILL", "CAP_SYS_CHROOT", "CAP_AUDIT_WRITE"],
    permitted: ["CAP_CHOWN", "CAP_KILL", "CAP_SYS_CHROOT"],
    effective: ["CAP_CHOWN", "CAP_KILL"],
    inheritable: ["CAP_KILL", "CAP_CHOWN"],
    ambient: ["CAP_KILL"],
  };
  const change = (uid: number) => (config: Config) =>
    Object.assign(config.process, { capabilities, user: { uid, gid: uid } });
  const status = (uid: number) => output("exec /bin/busybox grep Cap /proc/self/status", change(uid));
  const hex = (bits: number) => bits.toString(16).padStart(16, "0");
  const kill = 1 << 5;
  assert.equal(
    (await status(1000)).replaceAll("\t", ""),
    [
      `CapInh:${hex(kill | 1)}`,
      `CapPrm:${hex(kill)}`,
      `CapEff:${hex(kill)}`,
      `CapBnd:${hex(0x20040021)}`,
      `CapAmb:${hex(kill)}`,
    ].join("\n"),
  );
  const direct = (config: Config) => {
    change(0)(config);
    config.process.args = ["/bin/busybox", "grep", "CapBnd", "/proc/self/status"];
  };
  assert.equal(await output("", direct), `CapBnd:\t${hex(0x20040021)}`);
});

test("no fd above 2, no signal is blocked or ignored", async () => {
  const direct = (config: Config) => Object.assign(config.process, { args: ["/bin/busybox", "ls", "/proc/self/fd"] });
  assert.equal(await output("", direct), "0\n1\n2\n3"); // 3 is what ls reads
  const signals = (config: Config) =>
    Object.assign(config.process, { args: ["/bin/busybox", "grep", "Sig[BIC]", "/proc/self/status"] });
  assert.doesNotMatch(await output("", signals), /[1-9a-f]$/m);
});

test("user, groups, umask, cwd, HOME", async () => {
  const user = { uid: 1000, gid: 1000, additionalGids: [10, 20], umask: 0o077 };
  const change = (config: Config) => Object.assign(config.process, { user, cwd: "/tmp/made/deep" });
  const script = "id; umask; pwd; echo $HOME; grep Groups /proc/self/status";
  assert.equal(
    await output(script, change),
    "uid=1000(user) gid=1000 groups=10,20\n0077\n/tmp/made/deep\n/home/user\nGroups:\t10 20",
  );
  const home = (uid: number, env: string[]) => (config: Config) =>
    Object.assign(config.process, { user: { uid, gid: 0 }, env: ["PATH=/bin", ...env] });
  assert.equal(await output("echo $HOME; id -G; umask", home(1001, [])), "/\n0\n0022");
  assert.equal(await output("echo $HOME", home(4242, ["HOME="])), "/");
  assert.equal(await output("echo $HOME", home(0, ["HOME=/here", "A=1", "A=2"])), "/here");
});

test("limits, oom score, names, sysctl, personality, scheduler", async () => {
  const change = (config: Config) => {
    config.process.rlimits.push({ type: "RLIMIT_CORE", soft: 0, hard: 0 });
    Object.assign(config.process, {
      oomScoreAdj: 500,
      scheduler: { policy: "SCHED_BATCH", nice: 5 },
      ioPriority: { class: "IOPRIO_CLASS_BE", priority: 6 },
    });
    Object.assign(config, { hostname: "box", domainname: "example" });
    Object.assign(config.linux, {
      sysctl: { "net.ipv4.ip_forward": "1", "kernel.msgmax": "8000" },
      personality: { domain: "LINUX32" },
    });
  };
  const files = ["kernel/hostname", "kernel/domainname", "net/ipv4/ip_forward", "kernel/msgmax"].map(
    (file) => `/proc/sys/${file}`,
  );
  const script = `ulimit -n; ulimit -c; cat /proc/self/oom_score_adj ${files.join(" ")}; busybox uname -m; busybox ionice -p 1; busybox awk '{print $19, $41}' /proc/self/stat`;
  assert.equal(await output(script, change), "1024\n0\n500\nbox\nexample\n1\n8000\ni686\nbest-effort: prio 6\n5 3");
  assert.equal(readFileSync("/proc/sys/kernel/msgmax", "utf8"), "8192\n");
});

test("scheduler: priorities, a deadline, and flags", async () => {
  const policies = "for i in 1 self; do busybox awk '{print $40, $41}' /proc/$i/stat; done"; // of init, and of a child of it
  const script = `${policies}; echo end`;
  const scheduler = (scheduler: object) => (config: Config) => Object.assign(config.process, { scheduler });
  assert.equal(await output(script, scheduler({ policy: "SCHED_FIFO", priority: 7 })), "7 1\n7 1\nend");
  assert.equal(await output(script, scheduler({ policy: "SCHED_RR", priority: 9 })), "9 2\n9 2\nend");
  const flags = ["SCHED_FLAG_RESET_ON_FORK"];
  assert.equal(await output(script, scheduler({ policy: "SCHED_RR", priority: 9, flags })), "9 2\n0 0\nend");
  const times = { runtime: 10_000_000, deadline: 30_000_000, period: 40_000_000 };
  assert.equal(await output(script, scheduler({ policy: "SCHED_DEADLINE", flags, ...times })), "0 6\n0 0\nend");
  const { failure } = await run("true", scheduler({ policy: "SCHED_DEADLINE", flags, ...times, runtime: 50_000_000 }));
  assert.match(failure ?? "", /^process\.scheduler: .*EINVAL from sched_setattr/);
});

test("memory policy, and what the kernel refuses of it", async () => {
  const config = (memoryPolicy: object) => {
    const config = defaultSpec(["sh", "-c", "cat /proc/self/numa_maps | busybox awk '{print $2}' | sort -u"]);
    Object.assign(config.linux, { memoryPolicy });
    return config;
  };
  const bind = await pod.create(config({ mode: "MPOL_BIND", nodes: "0", flags: ["MPOL_F_STATIC_NODES"] }));
  assert.match((await bind.end()).stdout, /bind=static:0/);
  const none = await pod.create(config({ mode: "MPOL_INTERLEAVE", nodes: "1000" }));
  assert.match(
    (await none.end()).failure ?? "",
    /^linux\.memoryPolicy: the kernel does not take this policy or these nodes/,
  );
});

test("a read-only root; seccomp bytes with and without noNewPrivileges", async () => {
  const { stderr } = await run("touch /x", (config) =>
    Object.assign(config, { root: { path: "rootfs", readonly: true } }),
  );
  assert.match(stderr, /Read-only file system/);
  const bytes = new Uint8Array(8);
  bytes.set([0x06, 0, 0, 0, 0, 0, 0xff, 0x7f]); // return ALLOW
  for (const [noNewPrivileges, passesGate] of [
    [true, true],
    [true, false],
    [false, true],
    [false, false],
  ] as const) {
    const plan = { seccomp: { bytes, flags: 0, passesGate } };
    const text = await output(
      "grep -E 'Seccomp:|NoNew' /proc/self/status",
      (config) => Object.assign(config.process, { noNewPrivileges }),
      plan,
    );
    assert.equal(text, `NoNewPrivs:\t${noNewPrivileges ? 1 : 0}\nSeccomp:\t2`);
  }
});

test("the words that callers match", async () => {
  const failure = async (...args: string[]) =>
    (await run("", (config) => Object.assign(config.process, { args }))).failure;
  writeFileSync(pod.path("tmp/plain"), "x", { mode: 0o644 });
  writeFileSync(pod.path("tmp/script"), "#!/no/interpreter\n", { mode: 0o755 });
  assert.equal(await failure("nope"), 'process.args[0] "nope": exec: "nope": executable file not found in $PATH');
  assert.equal(await failure("/nope"), 'process.args[0] "/nope": exec: "/nope": stat /nope: no such file or directory');
  assert.equal(await failure("/tmp/plain"), 'process.args[0] "/tmp/plain": exec: "/tmp/plain": permission denied');
  assert.equal(await failure("/tmp"), 'process.args[0] "/tmp": exec: "/tmp": permission denied');
  assert.match((await failure("/tmp/script")) ?? "", /no such file or directory \(ENOENT from execve\)$/);
  const noPath = await run("", (config) => Object.assign(config.process, { args: ["sh"], env: [] }));
  assert.match(noPath.failure ?? "", /executable file not found in \$PATH/);
});

test("cwd outside is refused", async () => {
  for (let fd = 0; fd < 12; fd++) {
    const { failure } = await run("pwd", (config) => Object.assign(config.process, { cwd: `/proc/self/fd/${fd}` }));
    assert.match(failure ?? "ran", /^process\.cwd /, `fd ${fd}`);
  }
});
