import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { Code } from "ttrpc-ts";
import { KEYS } from "../config/keys.ts";
import { parseSettings } from "../config/settings.ts";
import { runCommand } from "./run-command.ts";
import { describeImage } from "./show-image.ts";

async function run(...args: string[]): Promise<string> {
  let output = "";
  const sources = { node: "/none/node", directory: "/none", busybox: "/none/busybox" };
  const write = (text: string) => {
    output += text;
  };
  const terminal = { input: new PassThrough(), output: new PassThrough() };
  const signal = AbortSignal.timeout(10_000);
  await runCommand(args, {
    sources,
    cacheDirectory: "/none",
    searchPath: "/none",
    stateDirectory: "/none",
    write,
    terminal,
    signal,
  });
  return output;
}

test("config prints a file that the parser takes, with every key at its default", async () => {
  const settings = parseSettings("printed", await run("config"));
  assert.deepEqual(
    [...settings].map(([key, { value }]) => [key, value]),
    Object.entries(KEYS).map(([key, each]) => [key, each.default]),
  );
});

test("help begins with an example; what is unknown is named", async () => {
  assert.match(await run("--help"), /^trimaran kata image build /);
  assert.match(await run(), /image show/);
  await assert.rejects(run("image", "eat"), { code: Code.InvalidArgument, message: /"image eat": no such command/ });
  await assert.rejects(run("debug"), { code: Code.InvalidArgument, message: /"debug": no such command/ });
  await assert.rejects(run("debug", "/none"), { code: Code.NotFound });
  await assert.rejects(run("debug", "web"), { code: Code.NotFound, message: /pod "web": no machine/ });
  assert.equal(await run("pods"), "");
  assert.match(await run("memory"), /^NAMESPACE {2}POD {2}GUEST {2}VMM {2}FILES {2}SHIM {2}ALL\n$/);
  await assert.rejects(run("image", "show", "--yaml"), { code: Code.InvalidArgument, message: /--yaml: no such flag/ });
});

test("an image that is not there says what to type", async () => {
  await assert.rejects(run("image", "show"), {
    code: Code.FailedPrecondition,
    message: /to be built; trimaran kata image build/,
  });
});

test("the table has a line of each file with its reason", () => {
  const contents = [{ where: "disk", path: "/usr/bin/node", bytes: 1234567, reason: "runs the agent" }] as const;
  const outputs = { disk: { bytes: 2000000, sha256: "" } };
  const text = describeImage({
    format: 1,
    key: "abc",
    release: "6.1",
    kernelPackage: "linux 6.1",
    built: [],
    inputs: {},
    outputs,
    contents,
  });
  assert.match(text, /^image abc: linux 6\.1 \(6\.1\), 2,000,000 bytes\n/);
  assert.match(text, /^disk {2}1,234,567 {2}\/usr\/bin\/node {2}runs the agent$/m);
});
