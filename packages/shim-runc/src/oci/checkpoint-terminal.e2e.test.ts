import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { firstSpec } from "./commands/spec.ts";
import { CRIU_PATH, makeCriuBundle } from "./testing/criu-bundle.ts";

const OURS = join(import.meta.dirname, "../../../../build/bin/trimaran-oci");
/** Says each line with its number; what is typed it is told without an echo. */
const TALK = `stty -echo; i=0; line=
while [ "$line" != end ]; do read -r line; i=$((i+1)); echo "$i $line"; done
exit 7`;

let folder: string;
before(() => {
  folder = makeCriuBundle(["sh", "stty"]);
  mkdirSync(join(folder, "root"));
  const spec = firstSpec();
  spec.process.terminal = true;
  spec.process.args = ["sh", "-c", TALK];
  writeFileSync(join(folder, "bundle/config.json"), JSON.stringify(spec));
});
after(() => rmSync(folder, { recursive: true, force: true }));

const words = (...rest: string[]) => ["--root", join(folder, "root"), ...rest];
const options = () => ({ cwd: join(folder, "bundle"), env: { PATH: CRIU_PATH } });

/** A command to its end. */
function oci(...rest: string[]) {
  const { status, stderr } = spawnSync(OURS, words(...rest), { ...options(), encoding: "utf8", timeout: 60_000 });
  return { code: status, error: stderr };
}

/** A command in the foreground: what it says, and what it is told. */
function talk(...rest: string[]) {
  const child = spawn(OURS, words(...rest), options());
  const ended = once(child, "exit");
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (part) => (text += part));
  return {
    ended,
    type: (line: string) => child.stdin.write(line),
    async says(pattern: RegExp) {
      for (let tries = 0; !pattern.test(text); tries++) {
        assert.ok(tries < 500, `no ${pattern} in ${JSON.stringify(text)}`);
        await delay(20);
      }
    },
  };
}

/** A container in the foreground that has been told one line, saved; its command has ended. */
async function saved(images: string): Promise<void> {
  const first = talk("run", "c");
  first.type("one\n");
  await first.says(/^1 one\r\n/m);
  const { code, error } = oci("checkpoint", "--image-path", images, "c");
  assert.deepEqual([code, error], [0, ""]);
  await first.ended;
}

test("in the foreground: what runs in a terminal goes on in another one, and hands its exit code on", async () => {
  const images = join(folder, "images");
  await saved(images);
  const second = talk("restore", "--image-path", images, "again");
  second.type("two\n");
  await second.says(/^2 two\r\n/m);
  second.type("end\n");
  await second.says(/^3 end\r\n/m);
  assert.deepEqual(await second.ended, [7, null]);
  assert.deepEqual(readdirSync(join(folder, "root")), []);
});

test("detached: its master goes to the console socket; without one, or with nobody there, the reason, and nothing stays", async () => {
  const images = join(folder, "detached");
  await saved(images);
  const restore = (...rest: string[]) => oci("restore", "--detach", "--image-path", images, ...rest, "again");
  assert.match(restore().error, /without setting console socket/);
  assert.match(restore("--console-socket", "/none").error, /--console-socket \/none: cannot be reached \(errno 2\)/);
  assert.deepEqual(readdirSync(join(folder, "root")), []);
  const path = join(folder, "console");
  await using server = createServer().listen(path);
  await once(server, "listening");
  const came = once(server, "connection").then(async ([socket]: Socket[]) =>
    String(await once(socket as Socket, "data")),
  );
  const child = spawn(OURS, words("restore", "--detach", "--image-path", images, "--console-socket", path, "again"), {
    ...options(),
    stdio: "ignore",
  });
  const [[code], name] = await Promise.all([once(child, "exit"), came]);
  assert.deepEqual([code, name], [0, "/dev/ptmx"]);
  assert.equal(oci("delete", "--force", "again").code, 0);
  assert.deepEqual(readdirSync(join(folder, "root")), []);
});
