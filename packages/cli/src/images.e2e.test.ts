import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { finished, Trimaran } from "./testing/trimaran.ts";

const LIMIT = { timeout: 90_000 };
const IMAGE = "example.org/two:1";
const CHANGES = "rm /etc/second; echo x >> /etc/passwd; mkdir /new; echo y > /new/file; echo ready";

/** The same commands with the manager in each of them, and with a daemon. */
const MODES = {
  embedded: async () => ({ [Symbol.asyncDispose]: async () => {} }),
  daemon: (trimaran: Trimaran) => trimaran.startDaemon(),
} as const;

for (const [mode, open] of Object.entries(MODES)) {
  test(
    `${mode}: an archive is imported, run by name and by file, changed, looked at, committed, exported, removed`,
    LIMIT,
    async () => {
      using trimaran = new Trimaran();
      await using _manager = await open(trimaran);
      const ok = async (...args: string[]) => {
        const { code, stdout, stderr } = await trimaran.call(...args);
        assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
        return stdout;
      };
      const run = (...args: string[]) => trimaran.run("--rm", ...args);
      const archive = trimaran.imageArchive(IMAGE);
      const empty = await trimaran.call("images");
      assert.match(empty.stderr, /^no images in namespace trimaran-e2e: trimaran pull NAME/);

      const imported = await trimaran.call("import", archive);
      assert.deepEqual([imported.code, imported.stdout], [0, `${IMAGE}\n`]);
      assert.match(imported.stderr, /^layer sha256:[0-9a-f]{12} .*extracted\n/m);
      const [listed] = (await ok("images", "--json"))
        .split("\n")
        .filter(Boolean)
        .map((line) => JSON.parse(line));
      assert.deepEqual([listed.name, listed.contentBytes > 0, listed.snapshotBytes > 0], [IMAGE, true, true]);

      assert.equal((await run(IMAGE)).stdout, "second\nimage\n");
      assert.equal((await run(archive)).stdout, "second\nimage\n");
      assert.equal((await run(trimaran.rootfs, "echo", "rootfs")).stdout, "rootfs\n");

      await trimaran.run("-d", "--name", "web", IMAGE, "sh", "-c", `${CHANGES}; trap 'exit 7' USR1; sleep 1000 & wait`);
      const following = trimaran.start("logs", "-f", "web");
      const followed = finished(following);
      if (following.stdout) await once(following.stdout, "data");
      assert.equal(await ok("exec", "web", "cat", "/new/file"), "y\n");
      assert.equal(await ok("diff", "web"), "C /etc\nC /etc/passwd\nD /etc/second\nA /new\nA /new/file\n");
      const lines = (await ok("layers", "web", "--json"))
        .split("\n")
        .filter(Boolean)
        .map((line) => JSON.parse(line));
      assert.deepEqual(
        lines.filter(({ kind }) => kind === "layer").map(({ index }) => index),
        [0, 1, 2],
      );
      const covered = new Map(lines.filter(({ kind }) => kind === "change").map((line) => [line.path, line]));
      assert.deepEqual([covered.get("/etc/second").change, covered.get("/etc/second").lower], ["deleted", 0]);
      assert.deepEqual([covered.get("/etc/passwd").change, covered.get("/etc/passwd").lower], ["copied-up", 1]);
      const { entries } = JSON.parse(await ok("layers", "web", "/etc/second", "--json"));
      assert.deepEqual(
        entries.map(({ index, kind, isSeen }: Record<string, unknown>) => [index, kind, isSeen]),
        [
          [0, "whiteout", false],
          [1, "file", false],
        ],
      );
      assert.match(await ok("top", "web"), /sleep 1000/);
      const used = JSON.parse(await ok("stats", "--once", "--json", "web"));
      assert.ok(used.pids >= 2 && used.memoryBytes > 0);
      const [inspected] = JSON.parse(await ok("inspect", "we"));
      assert.deepEqual([inspected.id, inspected.task.state, inspected.rootfs.kind], ["web", "running", "snapshot"]);

      const copied = join(trimaran.directory, "copied");
      await ok("cp", "web:/new", copied);
      assert.equal(readFileSync(join(copied, "file"), "utf8"), "y\n");
      await ok("cp", join(copied, "file"), "web:/tmp/renamed");
      await ok("cp", copied, "web:/tmp/");
      assert.equal(await ok("exec", "web", "cat", "/tmp/renamed", "/tmp/copied/file"), "y\ny\n");
      assert.match(
        (await trimaran.call("cp", "web:/nope", copied)).stderr,
        /\/nope: tar in the container ended with 1: /,
      );

      assert.equal(await ok("commit", "-m", "why", "web", "example.org/three"), "example.org/three:latest\n");
      const committed = await run("example.org/three", "sh", "-c", "cat /new/file; test -e /etc/second || echo gone");
      assert.equal(committed.stdout, "y\ngone\n");
      const exported = join(trimaran.directory, "out.tar");
      await ok("export", exported, "example.org/three");
      assert.match(
        execFileSync("tar", ["-tf", exported], { encoding: "utf8" }),
        /^oci-layout\nindex.json\nmanifest.json\n/,
      );
      assert.equal((await trimaran.call("export", join(trimaran.directory, "no.tar"), "example.org/no")).code, 125);
      assert.ok(!existsSync(join(trimaran.directory, "no.tar")));

      assert.equal(await ok("stop", "web"), "web\n"); // by the signal that the image names
      assert.match(await ok("ps", "-a"), /web\s+exited \(7\)/);
      assert.equal((await followed).code, 0);
      await ok("rm", "web");
      for (const name of (await ok("images", "-q")).split("\n").filter(Boolean)) await ok("images", "rm", name);
      assert.equal(await ok("images", "-q"), "");
      const root = join(trimaran.directory, "root");
      const left = execFileSync("find", [root, "-path", "*/blobs/sha256/*", "-o", "-path", "*/snapshots/*"], {
        encoding: "utf8",
      });
      assert.equal(left, "", "garbage was not collected");
    },
  );
}

test("what cannot be done has one sentence, and the next command to type", LIMIT, async () => {
  using trimaran = new Trimaran();
  const cases: [string[], RegExp][] = [
    [["run", "busybox", "sh"], /^trimaran: run: image "busybox": not in the store\n {2}try: trimaran pull busybox\n$/],
    [["images", "rm", "nope"], /^trimaran: images rm: image "nope": not in the store\n/],
    [["pull", "UPPER"], /^trimaran: pull: image reference "UPPER": /],
    [["events"], /no daemon is there.*\n {2}try: trimaran daemon --root \S+ --state \S+\n$/],
    [
      ["run", "--net", "host", "-p", "80:80", "x"],
      /^trimaran: run: --publish: a port cannot be published with --net host\n/,
    ],
    [
      ["--address", "/nowhere.sock", "ps"],
      /nobody listens there\n {2}try: trimaran daemon --address \/nowhere.sock\n$/,
    ],
    [["layers", "nope"], /^trimaran: layers: container "nope": no such container\n/],
  ];
  for (const [args, message] of cases) {
    const { code, stderr } = await trimaran.call(...args);
    assert.equal(code, 125, args.join(" "));
    assert.match(stderr, message);
  }
  const broken = join(trimaran.directory, "broken.tar");
  writeFileSync(broken, "no archive");
  assert.equal((await trimaran.call("import", broken)).code, 125);
});

test("a daemon and commands without one don't meet on one root", LIMIT, async () => {
  using trimaran = new Trimaran();
  const attached = trimaran.start("run", "-i", "--rm", trimaran.rootfs, "sh", "-c", "echo up; cat");
  if (attached.stdout) await once(attached.stdout, "data");
  const refused = await trimaran.call("daemon");
  assert.deepEqual([refused.code, /another trimaran command uses it/.test(refused.stderr)], [125, true]);
  attached.stdin?.end();
  assert.equal((await finished(attached)).code, 0);

  await trimaran.run("-d", "--name", "web", trimaran.rootfs, "sleep", "1000");
  await using _daemon = await trimaran.startDaemon(); // finds what a command has made
  const second = await finished(trimaran.startIn("other-state", "rm", "-f", "web")); // looks for its socket elsewhere
  assert.match(second.stderr, /another daemon \(pid \d+\) uses it/);
  assert.match((await trimaran.call("ps")).stdout, /web\s+running/);
  assert.equal((await trimaran.call("rm", "-f", "web")).code, 0);
});
