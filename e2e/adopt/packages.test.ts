import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pack, packAll } from "../../tools/pack.ts";

const ROOT = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "trimaran-packages-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** What they depend on and is not ours; packed from our own node_modules, so that nothing is fetched. */
const FOREIGN = ["koffi", `@koromix/koffi-linux-${process.arch}`, "smol-toml"];

const LIBRARIES = [
  "ttrpc-ts",
  ...["proto", "linux", "monitor", "shim-core", "shim-runc", "shim-gvisor", "shim-kata", "kata-agent", "manager"].map(
    (name) => `@trimaran/${name}`,
  ),
];

/** A program of the folder, as a user's file. */
function script(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return execFileSync(process.execPath, [name], { cwd: folder, encoding: "utf8", timeout: 120_000 });
}

before(async () => {
  const foreign = join(folder, "foreign");
  mkdirSync(foreign);
  const others = pack(
    FOREIGN.map((name) => join(ROOT, "node_modules", name)),
    foreign,
  );
  const flags = ["--offline", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }\n');
  execFileSync("npm", ["install", ...flags, ...(await packAll()), ...others], { cwd: folder, stdio: "pipe" });
});

test("each library loads as JavaScript and has its types", () => {
  const imports = LIBRARIES.map((name) => `Object.keys(await import(${JSON.stringify(name)})).length`);
  const counts = JSON.parse(script("load.js", `console.log(JSON.stringify([${imports.join(", ")}]));`)) as number[];
  assert.ok(
    counts.every((count) => count > 0),
    `${counts}`,
  );
  for (const name of LIBRARIES) {
    const directory = join(folder, "node_modules", name);
    const manifest = JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as {
      readonly exports: Readonly<Record<string, { readonly types: string; readonly default: string } | string>>;
      readonly license: string;
    };
    assert.equal(manifest.license, "Apache-2.0");
    for (const entry of Object.values(manifest.exports))
      for (const path of typeof entry === "string" ? [entry] : [entry.types, entry.default])
        assert.ok(existsSync(join(directory, path)), `${name}: ${path}`);
    assert.ok(existsSync(join(directory, "LICENSE")) && existsSync(join(directory, "README.md")), name);
  }
});

test("ttrpc-ts: a client and a server, type-checked by the declarations and run", () => {
  const program = `
    import { Client, Server, connectUnix, listenUnix } from "ttrpc-ts";
    import { ttrpcEvents, type google } from "@trimaran/proto";
    const server = new Server();
    const topics: string[] = [];
    server.register(ttrpcEvents, { forward: ({ envelope }): google.protobuf.Empty => { topics.push(envelope?.topic ?? ""); return {}; } });
    const path = new URL("x.sock", import.meta.url).pathname;
    await listenUnix(server, path);
    const client = new Client(await connectUnix(path));
    await client.service(ttrpcEvents).forward({ envelope: { topic: "/tasks/start", namespace: "n" } });
    console.log(topics.join());
    client.close();
    await server.shutdown();
  `;
  writeFileSync(join(folder, "talk.ts"), program);
  const options = { module: "nodenext", target: "es2024", strict: true, noEmit: true, skipLibCheck: false };
  const lib = ["es2024", "esnext.disposable", "esnext.iterator", "esnext.collection"];
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: { ...options, lib, types: ["node"], typeRoots: [join(ROOT, "node_modules/@types")] },
      files: ["talk.ts"],
    }),
  );
  const { status, stdout } = spawnSync(join(ROOT, "node_modules/.bin/tsc"), ["-p", "."], {
    cwd: folder,
    encoding: "utf8",
  });
  assert.equal(status, 0, stdout);
  assert.equal(execFileSync(process.execPath, ["talk.ts"], { cwd: folder, encoding: "utf8" }), "/tasks/start\n");
});

test("the command says its version, and installs shims that run", () => {
  const run = (...words: string[]) => execFileSync("npx", ["--offline", ...words], { cwd: folder, encoding: "utf8" });
  assert.match(run("trimaran", "--version"), /^trimaran \d+\.\d+\.\d+ /);
  const prefix = join(folder, "prefix");
  run("trimaran", "install", "--prefix", prefix);
  const shim = join(prefix, "bin/containerd-shim-trimaran-runc-v2");
  assert.match(execFileSync(shim, ["-v"], { encoding: "utf8" }), /^io\.containerd\.trimaran-runc\.v2:\n/);
  assert.match(execFileSync(join(prefix, "bin/trimaran"), ["version"], { encoding: "utf8" }), /^trimaran /);
  assert.match(execFileSync(join(prefix, "bin/trimaran-oci"), ["--version"], { encoding: "utf8" }), /\d/);
});
