import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { loadSyscalls } from "../host/syscalls.ts";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { lockDirectory, shareDirectory, tryLockDirectory } from "./directory-lock.ts";

test("one at a time; the other is told who has it; free again when disposed", async () => {
  using directory = temporaryDirectory();
  const syscalls = loadSyscalls();
  const held = await lockDirectory(directory.path, syscalls);
  await assert.rejects(lockDirectory(directory.path, syscalls), {
    code: 9,
    message: `${directory.path}: another daemon (pid ${process.pid}) uses it`,
  });
  await held[Symbol.asyncDispose]();
  await using _again = await lockDirectory(directory.path, syscalls);
});

test("a holder that was killed holds nothing", async () => {
  using directory = temporaryDirectory();
  const lock = join(import.meta.dirname, "directory-lock.ts");
  const libc = join(import.meta.dirname, "../host/syscalls.ts");
  const script = `
    const { lockDirectory } = await import(${JSON.stringify(lock)});
    const { loadSyscalls } = await import(${JSON.stringify(libc)});
    await lockDirectory(${JSON.stringify(directory.path)}, loadSyscalls());
    process.kill(process.pid, "SIGKILL");`;
  const { signal } = spawnSync(process.execPath, ["--input-type=module", "-e", script], { timeout: 20_000 });
  assert.equal(signal, "SIGKILL");
  await using _held = await lockDirectory(directory.path, loadSyscalls());
});

test("commands share it, a daemon does not; garbage is collected only by the last one", async () => {
  using directory = temporaryDirectory();
  const syscalls = loadSyscalls();
  const first = await shareDirectory(directory.path, syscalls);
  const second = await shareDirectory(directory.path, syscalls);
  await assert.rejects(lockDirectory(directory.path, syscalls), {
    code: 9,
    message: /another trimaran command uses it/,
  });
  await first[Symbol.asyncDispose]();
  assert.equal(await tryLockDirectory(directory.path, syscalls), undefined);
  await second[Symbol.asyncDispose]();
  const alone = await tryLockDirectory(directory.path, syscalls);
  assert.notEqual(alone, undefined);
  await assert.rejects(shareDirectory(directory.path, syscalls), { code: 9 });
  await alone?.[Symbol.asyncDispose]();
});
