import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  accessSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { rootlessSpec } from "./commands/spec.ts";
import { OURS, Place, RUNC, Runtime } from "./testing/oci-runtime.ts";

/** Somebody who is nobody here: no name, no groups, no subordinate ids. */
const UID = 54_321;

let place: Place;
let runtime: Runtime;
before(() => {
  place = new Place();
  place.give(UID);
  runtime = new Runtime(place, OURS, "ours", UID);
  accessSync(OURS[0] ?? "");
  const { code, error } = runtime.run("--version");
  assert.equal(code, 0, `uid ${UID} cannot run ${OURS[0]}: ${error}`);
});
after(() => place[Symbol.dispose]());

/** `spec --rootless` with this script, writable and without a terminal. */
function configure(script: string, change: (spec: ReturnType<typeof rootlessSpec>) => unknown = () => undefined): void {
  const spec = rootlessSpec({ uid: UID, gid: UID });
  spec.process.terminal = false;
  spec.process.args = ["sh", "-c", script];
  spec.root.readonly = false;
  change(spec);
  writeFileSync(join(place.bundle, "config.json"), JSON.stringify(spec));
}

/** Containers that are remembered; the cache is no container. */
const left = ({ root }: Runtime) => readdirSync(root).filter((name) => name !== "@cache");
const LOOK = "id; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; cat /proc/self/status | head -1";

/** What happens to somebody without privileges, in order. */
function live(runtime: Runtime): unknown[] {
  const note = (...words: string[]) => {
    const { code, out } = runtime.run(...words);
    return [code, out];
  };
  configure(`${LOOK}; touch /tmp/mine && stat -c %u /tmp/mine; exit 7`);
  const log: unknown[] = [note("run", "once")];
  configure("exec sleep 1000");
  log.push(runtime.quiet("create", "c"), runtime.status("c"));
  log.push(runtime.run("start", "c").code, runtime.status("c"), note("exec", "c", "sh", "-c", LOOK));
  log.push(note("exec", "c", "sh", "-c", "exit 42"));
  log.push(note("list", "--quiet"), runtime.run("delete", "c").code, runtime.run("kill", "c", "KILL").code);
  for (let tries = 0; runtime.status("c") !== "stopped"; tries++) assert.ok(tries < 100, "it is not stopped");
  log.push(runtime.run("delete", "c").code, runtime.status("c"), left(runtime));
  return log;
}

test("the same life through runc and through us, by somebody without privileges", () => {
  const control = live(new Runtime(place, RUNC, "runc", UID));
  assert.deepEqual(live(runtime), control);
  const [[code, output]] = control as [[number, string]];
  assert.equal(code, 7);
  assert.match(output, new RegExp(`^uid=0 gid=0.*\\n\\s+0\\s+${UID}\\s+1\\n\\s+0\\s+${UID}\\s+1\\ndeny\\n`));
});

test("spec --rootless, ours and runc's: both run by both", () => {
  const config = join(place.bundle, "config.json");
  const runtimes = [runtime, new Runtime(place, RUNC, "runc", UID)];
  for (const writer of runtimes) {
    rmSync(config, { force: true });
    assert.equal(writer.run("spec", "--rootless").code, 0);
    const spec = JSON.parse(readFileSync(config, "utf8"));
    spec.process.terminal = false;
    spec.process.args = ["sh", "-c", "id; ls /sys/fs/cgroup"];
    writeFileSync(config, JSON.stringify(spec));
    for (const runner of runtimes) {
      const { code, out, error } = runner.run("run", "s");
      assert.equal(code, 0, error);
      assert.match(out, /^uid=0 gid=0/);
    }
  }
});

test("a terminal, hooks, seccomp, exec's oom score", () => {
  const trace = join(place.folder, "trace");
  const hook = { path: "/bin/sh", args: ["sh", "-c", `echo hook >> ${trace}`] };
  configure("exec sleep 1000", (spec) => {
    Object.assign(spec, { hooks: { createRuntime: [hook], createContainer: [hook], poststop: [hook] } });
    Object.assign(spec.process, { oomScoreAdj: 500 });
    const rule = { names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 22 };
    Object.assign(spec.linux, { seccomp: { defaultAction: "SCMP_ACT_ALLOW", syscalls: [rule] } });
  });
  assert.equal(runtime.quiet("run", "--detach", "t"), 0);
  const asked = runtime.run("exec", "t", "sh", "-c", "cat /proc/self/oom_score_adj; mkdir /tmp/x 2>&1");
  assert.match(asked.out, /^500\n.*Invalid argument\n$/);
  const line = [...runtime.argv, "exec", "--tty", "t", "tty"].join(" ");
  const typed = new Runtime(place, ["sh", "-c", `script -qec "${line}" /dev/null`], "unused", UID).run();
  assert.match(typed.out, /^\/dev\/pts\/\d+\r+\n$/);
  assert.equal(JSON.parse(runtime.run("state", "t").out).owner, String(UID));
  assert.equal(runtime.run("delete", "--force", "t").code, 0);
  assert.equal(readFileSync(trace, "utf8"), "hook\nhook\nhook\n");
});

test("what cannot be is an error that names the field and the reason; nothing is left", () => {
  const cases: [(spec: ReturnType<typeof rootlessSpec>) => unknown, RegExp][] = [
    [
      (spec) => {
        spec.linux.namespaces = spec.linux.namespaces.filter(({ type }) => type !== "user");
        Object.assign(spec.linux, { uidMappings: [], gidMappings: [] });
      },
      /linux\.namespaces: root alone can do that: you are not root/,
    ],
    [
      (spec) => spec.linux.uidMappings.push({ containerID: 1, hostID: 100_000, size: 1000 }),
      new RegExp(`linux\\.uidMappings\\[1\\]: only root can map ids of others: as ${UID} you can map ${UID} alone`),
    ],
    [
      (spec) => Object.assign(spec.linux, { resources: { pids: { limit: 9 } } }),
      /linux\.cgroupsPath: cannot be made \(EACCES from mkdir/,
    ],
    [
      (spec) => Object.assign(spec.linux, { cgroupsPath: "/not-mine" }),
      /linux\.cgroupsPath: cannot be made \(EACCES from mkdir/,
    ],
    [(spec) => Object.assign(spec.process, { oomScoreAdj: -900 }), /process\.oomScoreAdj: may not be/],
  ];
  for (const [change, message] of cases) {
    configure("true", change);
    const { code, error } = runtime.run("run", "bad");
    assert.equal(code, 1);
    assert.match(error, message);
    assert.deepEqual(left(runtime), []);
  }
  configure("exec sleep 1000");
  assert.match(runtime.run("--systemd-cgroup", "run", "bad").error, /--systemd-cgroup: only root/);
  assert.equal(runtime.quiet("create", "c"), 0);
  assert.match(runtime.run("exec", "c", "true").error, /only root can exec in a container that is not started/);
  assert.equal(runtime.run("start", "c").code, 0);
  for (const words of [["pause"], ["ps"], ["events"], ["update", "--pids-limit", "9"], ["kill", "--all"]])
    assert.match(runtime.run(...words, "c").error, /a container that has no cgroup: c was made without the right/);
  assert.match(runtime.run("checkpoint", "c").error, /checkpoint: only root can do that/);
  assert.equal(runtime.run("delete", "--force", "c").code, 0);
});

test("root of a user namespace that somebody else has made, as podman does: no user namespace of its own is needed", () => {
  const inside = new Runtime(place, ["unshare", "--user", "--map-root-user", "--", ...OURS], "inside", UID);
  configure(LOOK, (spec) => {
    spec.linux.namespaces = spec.linux.namespaces.filter(({ type }) => type !== "user");
    Object.assign(spec.linux, { uidMappings: undefined, gidMappings: undefined });
  });
  const { code, out, error } = inside.run("run", "n");
  assert.equal(code, 0, error);
  assert.match(out, new RegExp(`^uid=0 gid=0.*\\n\\s+0\\s+${UID}\\s+1\\n`));
  assert.equal(existsSync(join(inside.root, "n")), false);
});

test("CVE-2023-25809: a cgroup that its user may write to is out of the container's reach, with and without a cgroup namespace", () => {
  const group = `/sys/fs/cgroup/pids/trm-rootless-${process.pid}`;
  mkdirSync(group);
  try {
    chownSync(group, UID, UID);
    // What `/sys` brings of the host is below the mount of its own cgroup, which is read-only.
    const attack = `mkdir ${group}/evil 2>/dev/null && echo written; touch /sys/fs/cgroup/x 2>/dev/null && echo written; true`;
    for (const withNamespace of [true, false]) {
      configure(attack, (spec) => {
        const others = spec.linux.namespaces.filter(({ type }) => type !== "cgroup");
        spec.linux.namespaces = withNamespace ? [...others, { type: "cgroup" }] : others;
      });
      const { code, out } = runtime.run("run", "once");
      assert.deepEqual([code, out, readdirSync(group).includes("evil")], [0, "", false], `namespace: ${withNamespace}`);
    }
    execFileSync("setpriv", ["--reuid", String(UID), "--clear-groups", "mkdir", `${group}/evil`]); // the control: it may
  } finally {
    execFileSync("find", [group, "-depth", "-type", "d", "-exec", "rmdir", "{}", "+"]);
  }
});
