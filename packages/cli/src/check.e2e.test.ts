import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

const MAIN = join(import.meta.dirname, "../../../build/lib/trimaran/trimaran.js");
const SHIM = "io.containerd.runc.v2";

function check(...words: string[]) {
  const env = { ...process.env, NO_COLOR: "1" };
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, "check", ...words], {
    encoding: "utf8",
    timeout: 60_000,
    env,
  });
  return { status, stdout, stderr };
}

test("--list shows every check with its place in the contract, as lines and as JSON", () => {
  const { status, stdout } = check("--list");
  assert.equal(status, 0);
  assert.match(stdout, /^start\.text +§2\.5 #3 /);
  assert.match(stdout, /^faults\.garbage +/m);
  const first = JSON.parse(check("--list", "--json").stdout.split("\n")[0] ?? "");
  assert.deepEqual([first.id, first.sections, first.numbers], ["start.text", "2.5", [3]]);
  assert.equal(check("--list", "--only", "wire").stdout.split("\n").filter(Boolean).length, 10);
});

test("upstream's shim by its runtime's name: a line per check, a sum, and exit code 0", () => {
  const { status, stdout, stderr } = check("--only", "start.socket,task.kill-exited", "--as", "1.6", SHIM);
  assert.equal(status, 0, `${stdout}${stderr}`);
  assert.match(
    stdout,
    /^containerd-shim-runc-v2 \S+ \(\/\S+\/containerd-shim-runc-v2\), as containerd 1\.6 drives it: 2 checks\n/,
  );
  assert.match(stdout, /^pass +start\.socket .*\npass +task\.kill-exited /m);
  assert.match(stdout, /^2 passed, 0 failed, 0 known deviations, 0 not offered, in /m);
});

test("what fails is exit code 1, says what was expected and what came, and is JSON on request", () => {
  const { status, stdout } = check("--only", "info", "--json", "/bin/false");
  assert.equal(status, 1);
  const [info, version] = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.deepEqual([info.check, info.verdict], ["info.answer", "not offered"]);
  assert.deepEqual(
    [version.check, version.verdict, version.expected],
    ["info.version", "failed", "every step to succeed"],
  );
});

test("what cannot be checked is one sentence and exit code 125", () => {
  const refused = (words: RegExp, ...args: string[]) => {
    const { status, stderr } = check(...args);
    assert.equal(status, 125, stderr);
    assert.match(stderr, words);
  };
  refused(/^trimaran: check: no shim: a path, or a name/);
  refused(/^trimaran: check: containerd-shim-none-v9: no such program in /, "io.containerd.none.v9");
  refused(/^trimaran: check: --only nothing: no such check; --list shows them/, "--only", "nothing", SHIM);
  refused(/^trimaran: check: options "x": not TYPE=JSON/, "--options", "x", SHIM);
});
