import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

const directory = mkdtempSync(join(tmpdir(), "trimaran-completion-"));
after(() => rmSync(directory, { recursive: true, force: true }));
const main = join(import.meta.dirname, "../main.ts");
const ask = (...words: string[]) => {
  const environment = { ...process.env, TRIMARAN_ROOT: join(directory, "root"), TRIMARAN_MANAGER_STATE: directory };
  const { stdout } = spawnSync(process.execPath, [main, ...words], {
    encoding: "utf8",
    env: environment,
    timeout: 30_000,
  });
  return stdout;
};

test("verbs, verbs of images, flags and values are proposed by their beginning", () => {
  assert.deepEqual(ask("__complete", "st").split("\n").filter(Boolean), ["stop", "stats"]);
  assert.deepEqual(ask("__complete", "images", "p").split("\n").filter(Boolean), ["pull", "push"]);
  assert.match(ask("__complete", "run", "--mem"), /^--memory\n$/);
  assert.match(ask("__complete", "completion", ""), /bash\nzsh\nfish\n/);
  assert.equal(ask("__complete", "kill", "x"), ""); // no such container, no error
});

test("bash takes the script, and completes a verb with it", () => {
  const script = ask("completion", "bash");
  const shell = `trimaran() { ${process.execPath} ${main} "$@"; }
${script}
COMP_WORDS=(trimaran lay) COMP_CWORD=1
_trimaran
echo "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = spawnSync("bash", ["-c", shell], { encoding: "utf8", timeout: 30_000 });
  assert.equal(stderr, "");
  assert.equal(stdout, "layers\n");
});
