import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { after } from "node:test";
import { BUILD_BIN } from "./harness/containerd.ts";
import { matrix, TRIMARAN } from "./harness/matrix.ts";
import { type Finished, run } from "./harness/process.ts";

/** Like /usr/local: with folders and a program of somebody else in it. */
const prefix = mkdtempSync("/tmp/trimaran-prefix-");
for (const name of ["bin", "lib", "share/man"]) mkdirSync(join(prefix, name), { recursive: true });
writeFileSync(join(prefix, "bin/other"), "not ours\n");
after(() => rmSync(prefix, { recursive: true, force: true }));

async function ok(...argv: string[]): Promise<Finished> {
  const done = await run(argv);
  assert.equal(done.code, 0, `${argv.join(" ")}: ${done.stdout}${done.stderr}`);
  return done;
}

const listed = async () => (await readdir(prefix, { recursive: true })).sort();

const engine = { cri: true, buildInPath: false, extraPath: [join(prefix, "bin")] };

matrix(
  "install",
  (scenario) => {
    scenario("installed below a prefix, configured, used by containerd, removed", async ({ engine, run: runTask }) => {
      const before = { files: await listed(), config: readFileSync(engine.configPath, "utf8") };
      const folder = await readdir(engine.dir);
      assert.notEqual((await runTask({}, "true")).code, 0, "containerd has no shim of ours yet");

      const at = ["--prefix", prefix, "--containerd-config", engine.configPath];
      await using undo = new AsyncDisposableStack();
      undo.defer(() => run([join(BUILD_BIN, "trimaran"), "uninstall", "--prefix", prefix]).then(() => undefined));
      await ok(join(BUILD_BIN, "trimaran"), "install", ...at);
      const dump = await engine.configDump();
      assert.equal(dump.code, 0, dump.stderr);
      assert.match(dump.stdout, /runtimes\.trimaran-runc\]/);
      assert.match(dump.stdout, /runtime_type = ["']io\.containerd\.trimaran-runc\.v2["']/);
      await engine.restart();
      const cri = (await engine.ctrOk("plugins", "ls")).split("\n").filter((line) => /\bcri\b/.test(line));
      assert.ok(cri.length > 0);
      for (const line of cri) assert.match(line, /\bok\b/, "CRI took the configuration");

      assert.deepEqual(await runTask({}, "sh", "-c", "echo hello; exit 3"), { code: 3, stdout: "hello\n", stderr: "" });
      const servers = await engine.taskServerPids();
      assert.equal(servers.length, 1);
      assert.equal(await readlink(`/proc/${servers[0]}/exe`), join(prefix, "lib/trimaran/node"));
      const commandLine = await readFile(`/proc/${servers[0]}/cmdline`, "utf8");
      assert.ok(!commandLine.includes(BUILD_BIN.replace(/bin$/, "")), `from the prefix only: ${commandLine}`);

      await ok(join(prefix, "bin/trimaran"), "uninstall", "--prefix", prefix); // by what it removes
      assert.deepEqual(await listed(), before.files);
      assert.equal(readFileSync(engine.configPath, "utf8"), before.config);
      assert.deepEqual(new Set(await readdir(engine.dir)), new Set(folder));
    });
  },
  { runtimes: [TRIMARAN], engine },
);
