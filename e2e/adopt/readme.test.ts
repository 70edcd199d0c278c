import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { parse } from "smol-toml";
import { RUNC_TABLE, runtimeTables } from "../../packages/cli/src/installation/containerd-config.ts";
import { DockerRegistry } from "../../packages/manager/src/testing/docker-registry.ts";
import { CONTAINERD2_PREFIX } from "../../tools/debian/containerd2.ts";
import { type DocCommand, docBlocks, shellCommands } from "../harness/doc-blocks.ts";
import { buildImages, IMAGE } from "../harness/images.ts";
import { startContainerd } from "../harness/plain-containerd.ts";
import { endTaskServers, isThrowAway } from "../harness/throw-away.ts";

const ROOT = join(import.meta.dirname, "../..");
const README = join(ROOT, "README.md");
/** Not run here: the one is what runs this, the other has a test of its own that takes minutes where machines are emulated. */
const ELSEWHERE = process.env.E2E_DOCS === "long" ? ["npm test"] : ["npm test", "npm start"];
const LIMIT_MS = 60_000;

/**
 * Run one line as a user's terminal would: in a shell, with a terminal; `exit` is typed into whatever asks. `exports`: what was typed before, for
 * the whole session.
 */
async function type(
  { text, isEndless }: DocCommand,
  exports: readonly string[],
): Promise<{ readonly status: unknown; readonly output: string }> {
  const child = spawn("script", ["-qec", [...exports, text].join("; "), "/dev/null"], {
    cwd: ROOT,
    env: { ...process.env, SHELL: "/bin/bash" },
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), LIMIT_MS);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  if (isEndless) void once(child.stdout, "data").then(() => child.stdin.write("\x03"));
  else child.stdin.write("exit\n");
  const [status] = await once(child, "close");
  clearTimeout(timer);
  return { status, output };
}

/** docker.io and example.org are this machine's registry, with busybox in it: the README asks nobody else. */
async function openRegistry(folder: string): Promise<DockerRegistry> {
  const registry = await DockerRegistry.open(folder);
  for (const host of ["docker.io", "example.org"]) {
    mkdirSync(`/etc/containerd/certs.d/${host}`, { recursive: true });
    writeFileSync(`/etc/containerd/certs.d/${host}/hosts.toml`, `server = "http://${registry.host}"\n`);
  }
  const trimaran = (...words: string[]) => execFileSync(join(ROOT, "build/bin/trimaran"), words, { stdio: "pipe" });
  trimaran("import", (await buildImages()).oci);
  trimaran("push", IMAGE, `${registry.host}/library/busybox:latest`);
  trimaran("images", "rm", IMAGE);
  return registry;
}

if (isThrowAway(import.meta.filename, ROOT))
  describe("the README, as a new user reads it", () => {
    const resources = new AsyncDisposableStack();
    before(async () => {
      const folder = mkdtempSync(join(tmpdir(), "trimaran-readme-"));
      resources.defer(() => rmSync(folder, { recursive: true, force: true }));
      resources.use(await openRegistry(folder));
      resources.use(await startContainerd());
      resources.defer(endTaskServers);
    });
    after(() => resources.disposeAsync());

    const commands = shellCommands(README);
    const exports: string[] = [];
    for (const command of commands.filter(({ text }) => !ELSEWHERE.includes(text)))
      test(`README.md:${command.line}: ${command.text}`, async () => {
        if (command.text.startsWith("export ")) exports.push(command.text);
        const { status, output } = await type(command, exports);
        const allowed = command.isEndless ? [0, 130] : command.text === "trimaran doctor" ? [0, 1] : [0]; // 1: this host lacks something
        assert.ok(allowed.includes(Number(status)), `status ${status}: ${output}`);
        if (/echo hello/.test(command.text)) assert.match(output, /hello\r?\n/);
      });

    test("nothing is left, and no command was overlooked", () => {
      const left = execFileSync(join(ROOT, "build/bin/trimaran"), ["ps", "-a", "-q"], { encoding: "utf8" });
      assert.equal(left, "");
      for (const text of ELSEWHERE)
        assert.ok(
          commands.some((command) => command.text === text),
          text,
        );
      assert.ok(commands.length > 15);
      assert.ok(!existsSync("/usr/local/bin/containerd-shim-trimaran-runc-v2"), "uninstalled");
    });
  });
else {
  const tomls = docBlocks(README).filter(({ language }) => language === "toml");

  test("containerd takes the configuration that is printed, of its own version", () => {
    const programs = ["/usr/bin/containerd", join(CONTAINERD2_PREFIX, "bin/containerd")];
    const shims = ["runc", "gvisor", "kata"].map((name) => `containerd-shim-trimaran-${name}-v2`);
    const installed = [
      `version = 2\n${RUNC_TABLE}\n${runtimeTables(2, shims)}`,
      `version = 3\n${runtimeTables(3, shims)}`,
    ];
    assert.deepEqual(
      tomls.map(({ text }) => parse(text)),
      installed.map((text) => parse(text)),
      "what install writes",
    );
    for (const [at, { text }] of tomls.entries()) {
      const folder = mkdtempSync(join(tmpdir(), "trimaran-toml-"));
      writeFileSync(join(folder, "config.toml"), text);
      const program = programs[at] ?? "";
      const dumped = execFileSync(program, ["--config", join(folder, "config.toml"), "config", "dump"], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
      });
      rmSync(folder, { recursive: true, force: true });
      for (const name of ["runc", "gvisor", "kata"])
        assert.ok(
          dumped.replaceAll("'", '"').includes(`runtime_type = "io.containerd.trimaran-${name}.v2"`),
          `${program} ${name}`,
        );
      for (const handler of handlers()) assert.ok(text.includes(`runtimes.${handler}]`), handler);
    }
  });

  const handlers = () => {
    const [yaml] = docBlocks(README).filter(({ language }) => language === "yaml");
    return [...(yaml?.text ?? "").matchAll(/^handler: (\S+)$/gm)].map(([, name = ""]) => name);
  };

  test("the manifests name these handlers, and the file has what is printed", () => {
    assert.deepEqual(handlers(), ["trimaran-runc", "trimaran-gvisor", "trimaran-kata"]);
    const [yaml] = docBlocks(README).filter(({ language }) => language === "yaml");
    assert.equal(readFileSync(join(ROOT, "docs/runtimeclass.yaml"), "utf8"), `${yaml?.text}\n`);
  });

  test("every link to a file leads to one, in each document", () => {
    for (const path of globSync(["*.md", "docs/*.md", "packages/*/*.md", "e2e/*.md"], { cwd: ROOT }))
      for (const [, target = ""] of readFileSync(join(ROOT, path), "utf8").matchAll(/\]\(([^)#\s]+)[^)]*\)/g))
        if (!/^[a-z]+:/.test(target)) assert.ok(existsSync(join(ROOT, path, "..", target)), `${path}: ${target}`);
  });
}
