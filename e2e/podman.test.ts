import assert from "node:assert/strict";
import { globSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { ensurePackages } from "../tools/debian.ts";
import { BUILD_BIN } from "./harness/containerd.ts";
import { buildRootfs } from "./harness/images.ts";
import { type Finished, type RunOptions, run, runOk } from "./harness/process.ts";

/** Debian's podman, with conmon between it and the runtime: ours, and Debian's runc as the control. */
const RUNTIMES = { ours: join(BUILD_BIN, "trimaran-oci"), runc: "/usr/sbin/runc" } as const;
const IMAGE = "localhost/test:1";
/** No network: none of this is about it. The limits podman would set by itself may be above ours. */
const COMMON = ["--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"];

/** podman with one of the runtimes; storage of its own, below a folder that goes away. */
class Podman {
  readonly #base: readonly string[];
  readonly #env: NodeJS.ProcessEnv;

  /** `uid`: somebody without privileges, and a folder that is his. */
  constructor(folder: string, runtime: string, uid?: number) {
    this.#env = { ...process.env, HOME: uid === undefined ? "/root" : folder, XDG_RUNTIME_DIR: folder };
    this.#base = [
      ...(uid === undefined ? [] : ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", "--"]),
      ...[
        "podman",
        "--root",
        join(folder, "storage"),
        "--runroot",
        join(folder, "run"),
        "--tmpdir",
        join(folder, "tmp"),
      ],
      ...["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "none", "--runtime", runtime],
    ];
  }

  say(words: readonly string[], options?: RunOptions): Promise<Finished> {
    return run([...this.#base, ...words], { ...options, env: this.#env });
  }

  async start(name: string, ...words: string[]): Promise<void> {
    const done = await this.say(["run", ...COMMON, "--detach", "--name", name, IMAGE, ...words]);
    assert.equal(done.code, 0, done.stderr);
  }
}

type Step = (podman: Podman) => Promise<unknown>;

/** What a program in a container said; of errors only the exit code is the same by contract. */
const output =
  (...words: string[]): Step =>
  async (podman) => {
    const { code, stdout } = await podman.say(words);
    return { code, stdout };
  };
const once = (flags: readonly string[], ...command: string[]) =>
  output("run", "--rm", ...COMMON, ...flags, IMAGE, ...command);

const LOOP = ["sh", "-c", "trap 'echo bye; exit 3' TERM; echo started; while :; do sleep 0.05; done"];
const STATUS =
  "while read a b; do case $a in Cap*|NoNew*|Seccomp:|Uid:|Gid:|Groups:) echo $a $b;; esac; done < /proc/self/status";

const SCRIPTS: Readonly<Record<string, Step>> = {
  "run: output, exit code": once([], "sh", "-c", "echo out; id; exit 7"),
  "run: who it is": once(["--user", "5:6", "--group-add", "7"], "sh", "-c", STATUS),
  "run: little privilege": once(["--cap-drop", "all", "--security-opt", "no-new-privileges"], "sh", "-c", STATUS),
  "run: privileged": once(["--privileged"], "sh", "-c", STATUS),
  "run: read-only root, tmpfs, volume": once(
    ["--read-only", "--tmpfs", "/scratch", "--volume", "/etc/hostname:/h:ro"],
    "sh",
    "-c",
    "test -s /h && echo h; touch /x || echo ro; touch /scratch/y && echo rw; touch /h || echo ro",
  ),
  "run: host names, working directory, environment": once(
    ["--hostname", "hh", "--workdir", "/tmp", "--env", "A=b"],
    "sh",
    "-c",
    "hostname; pwd; echo $A $HOME",
  ),
  "run: a terminal": once(["--tty"], "sh", "-c", "tty; test -t 0 && echo yes"),
  "run: a user namespace": once(["--uidmap", "0:100000:65536"], "sh", "-c", "id -u; cat /proc/self/uid_map"),
  "run: the host's namespaces": once(
    ["--pid", "host", "--ipc", "host", "--uts", "host"],
    "sh",
    "-c",
    "test $$ -ne 1 && echo no init",
  ),
  "run: limits": once(["--memory", "40m", "--pids-limit", "17", "--cpus", "0.5"], "true"),
  "run: a program that is not there": once([], "nonesuch"),
  "run: a program that is a directory": once([], "/bin"),
  "run: a sysctl": once(["--sysctl", "net.ipv4.ip_forward=1"], "cat", "/proc/sys/net/ipv4/ip_forward"),
  "stdin to its end": async (podman) => {
    const { code, stdout } = await podman.say(["run", "--rm", ...COMMON, "--interactive", IMAGE, "cat"], {
      stdin: "some input\n",
    });
    return { code, stdout };
  },
  "exec, pause, kill, wait, logs, inspect, rm": async (podman) => {
    const name = "long";
    const ask = async (...words: string[]) => {
      const { code, stdout } = await podman.say(words);
      return { code, stdout: stdout.replace(/[0-9a-f]{64}/g, "ID") };
    };
    await podman.start(name, ...LOOP);
    const said = [
      await ask("exec", name, "sh", "-c", "echo in exec; exit 4"),
      await ask("exec", "--user", "7:8", "--env", "A=1", "--workdir", "/bin", name, "sh", "-c", "id; pwd; echo $A"),
      await ask("exec", "--tty", name, "tty"),
      await ask("exec", "--detach", name, "sh", "-c", "exit 6"),
      await ask("exec", name, "nonesuch"),
      await ask("pause", name),
      await ask("inspect", "--format", "{{.State.Status}}", name),
      await ask("exec", name, "true"),
      await ask("unpause", name),
      await ask("kill", "--signal", "TERM", name),
      await ask("wait", name),
      await ask("logs", name),
      await ask("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", name),
      await ask("start", name),
      await ask("restart", "--time", "0", name),
      await ask("stop", "--time", "0", name),
      await ask("inspect", "--format", "{{.State.ExitCode}}", name),
      await ask("rm", name),
    ];
    return said;
  },
  "create, start attached": async (podman) => {
    const created = await podman.say(["create", ...COMMON, "--name", "later", IMAGE, "sh", "-c", "echo late; exit 9"]);
    const { code, stdout } = await podman.say(["start", "--attach", "later"]);
    const removed = await podman.say(["rm", "later"]);
    return [created.code, code, stdout, removed.code];
  },
};

/** podman leaves its own cgroups behind, which are empty now. */
function removeParents(): void {
  for (const path of globSync("/sys/fs/cgroup/{,*/}libpod_parent{/conmon,}").sort().reverse()) {
    try {
      rmdirSync(path);
    } catch {
      // somebody else's podman is at work there
    }
  }
}

describe("podman", { timeout: 300_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), "podman-"));
  const podmans = Object.entries(RUNTIMES).map(([name, path]) => new Podman(join(folder, name), path));
  before(async () => {
    await ensurePackages(["podman", "runc"]);
    const archive = join(folder, "image.tar");
    await runOk(["tar", "-C", await buildRootfs(), "-cf", archive, "."]);
    for (const podman of podmans) {
      const done = await podman.say(["import", archive, IMAGE]);
      assert.equal(done.code, 0, done.stderr);
    }
  });
  after(() => {
    rmSync(folder, { recursive: true, force: true });
    removeParents();
  });
  for (const [name, step] of Object.entries(SCRIPTS)) {
    test(name, async () => {
      const [ours, theirs] = await Promise.all(podmans.map(step));
      assert.deepEqual(ours, theirs);
    });
  }
  test("nothing of ours is left", () => {
    assert.deepEqual(
      readdirSync("/run/trimaran-oci").filter((id) => /^[0-9a-f]{64}$/.test(id)),
      [],
    );
  });
});

describe("podman without root", { timeout: 300_000 }, () => {
  const UID = 54_322; // nobody's
  const folder = mkdtempSync(join(tmpdir(), "podman-user-"));
  const podmans = Object.entries(RUNTIMES).map(([name, path]) => new Podman(join(folder, name), path, UID));
  const image = join(folder, "image.tar");
  before(async () => {
    await ensurePackages(["podman", "runc"]);
    await runOk(["tar", "-C", await buildRootfs(), "--owner=0", "--group=0", "-cf", image, "."]);
    for (const name of Object.keys(RUNTIMES)) mkdirSync(join(folder, name));
    await runOk(["chown", "-R", `${UID}:${UID}`, folder]);
    for (const podman of podmans) {
      const done = await podman.say(["import", image, IMAGE]);
      assert.equal(done.code, 0, done.stderr);
    }
  });
  after(async () => {
    for (const podman of podmans) await podman.say(["system", "migrate"]); // ends the process that holds its user namespace
    rmSync(folder, { recursive: true, force: true });
  });
  test("run, exec, kill, rm", async () => {
    const flags = ["--network", "none"];
    const look = async (podman: Podman) => {
      const ask = async (...words: string[]) => {
        const { code, stdout } = await podman.say(words);
        return { code, stdout: stdout.replace(/[0-9a-f]{64}/g, "ID") };
      };
      return [
        await ask("run", "--rm", ...flags, IMAGE, "sh", "-c", "id; cat /proc/self/uid_map; exit 7"),
        await ask("run", "--rm", "--tty", ...flags, IMAGE, "tty"),
        await ask("run", "--detach", "--name", "web", ...flags, IMAGE, ...LOOP),
        await ask("exec", "web", "sh", "-c", "id -u; exit 4"),
        await ask("kill", "--signal", "TERM", "web"),
        await ask("wait", "web"),
        await ask("rm", "web"),
      ];
    };
    const [ours, theirs] = await Promise.all(podmans.map(look));
    assert.deepEqual(ours, theirs);
    assert.match(ours?.[0]?.stdout ?? "", new RegExp(`^uid=0.*\n\\s+0\\s+${UID}\\s+1\n$`));
    assert.deepEqual(
      ours?.map(({ code }) => code),
      [7, 0, 0, 4, 0, 0, 0],
    );
  });
});
