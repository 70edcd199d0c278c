import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { Trimaran } from "./testing/trimaran.ts";

/** me:geheim */
const HTPASSWD = "me:$2y$05$abcdefghijklmnopqrstuuVWu8RjbNovPZWAMRdd7iqaaG0mI53Uu";
const LIMIT = { timeout: 90_000 };

/** Debian's docker-registry, which wants a password, on a port of its own. */
async function openRegistry(): Promise<AsyncDisposable & { readonly host: string }> {
  const folder = mkdtempSync(join(tmpdir(), "trimaran-registry-"));
  writeFileSync(join(folder, "htpasswd"), `${HTPASSWD}\n`);
  const config = {
    version: 0.1,
    log: { level: "info", accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(folder, "data") } },
    http: { addr: "127.0.0.1:0", secret: "for tests" },
    auth: { htpasswd: { realm: "tests", path: join(folder, "htpasswd") } },
  };
  writeFileSync(join(folder, "config.yml"), JSON.stringify(config)); // which is YAML
  const child = spawn("docker-registry", ["serve", join(folder, "config.yml")], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = new Promise((resolve) => child.once("close", resolve));
  for await (const line of createInterface(child.stderr)) {
    const host = /listening on (127\.0\.0\.1:\d+)/.exec(line)?.[1];
    if (host === undefined) continue;
    child.stderr.resume();
    return {
      host,
      [Symbol.asyncDispose]: async () => {
        child.kill("SIGKILL");
        await ended;
        rmSync(folder, { recursive: true, force: true });
      },
    };
  }
  throw new Error("docker-registry does not listen");
}

test("push and pull through a registry that wants a password; what is there is not fetched again", LIMIT, async () => {
  await using registry = await openRegistry();
  using trimaran = new Trimaran();
  const name = `${registry.host}/two:1`;
  assert.equal((await trimaran.call("import", trimaran.imageArchive("example.org/two:1"))).code, 0);
  const nobody = await trimaran.call("push", "example.org/two:1", name);
  assert.deepEqual([nobody.code, nobody.stdout], [125, ""]);
  assert.match(nobody.stderr, /^trimaran: push: registry .*: it wants a user name and a password$/m);
  const wrong = await trimaran.call("push", "-u", "me:falsch", "example.org/two:1", name);
  assert.deepEqual([wrong.code, wrong.stderr.includes("falsch")], [125, false]);
  const pushed = await trimaran.call("push", "-u", "me:geheim", "example.org/two:1", name);
  assert.equal(pushed.code, 0, pushed.stderr);
  assert.match(pushed.stdout, /^sha256:[0-9a-f]{64}\n$/);

  for (const image of ["example.org/two:1"]) assert.equal((await trimaran.call("images", "rm", image)).code, 0);
  const pulled = await trimaran.call("pull", "-u", "me:geheim", name);
  assert.deepEqual([pulled.code, pulled.stdout], [0, `${name}\n`], pulled.stderr);
  assert.match(pulled.stderr, /^layer sha256:[0-9a-f]{12} .*complete$/m);
  const again = await trimaran.call("pull", "-u", "me:geheim", name);
  assert.match(again.stderr, /^layer sha256:[0-9a-f]{12} .*already exists$/m);
  assert.equal((await trimaran.run("--rm", name)).stdout, "second\nimage\n");
  const missing = await trimaran.call("pull", "-u", "me:geheim", `${registry.host}/nope:1`);
  assert.deepEqual([missing.code, missing.stderr.includes("nope")], [125, true]);
  assert.equal((await trimaran.call("images", "rm", name)).code, 0);
});
