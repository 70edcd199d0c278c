import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Code, ManagerError } from "../errors/manager-error.ts";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { ContentFiles } from "./content-files.ts";
import { digestOf } from "./digest.ts";
import type { IngestWriter } from "./ingest-writer.ts";

const MIB = 1 << 20;
const CONTENT = Buffer.from("0123456789abcdef".repeat((6 * MIB) / 16));

/** A mount on a new directory, until it is disposed. */
function mount(target: string, args: readonly string[]): Disposable {
  mkdirSync(target);
  execFileSync("mount", [...args, target]);
  return { [Symbol.dispose]: () => void execFileSync("umount", [target]) };
}

function openWriter(files: ContentFiles): Promise<IngestWriter> {
  return files.openIngest({ backendRef: "ns/1/a", ref: "a", totalBytes: CONTENT.length, algorithm: "sha256" });
}

async function appendRest(writer: IngestWriter): Promise<void> {
  while (writer.offsetBytes < CONTENT.length) {
    await writer.append(CONTENT.subarray(writer.offsetBytes, writer.offsetBytes + MIB));
  }
}

async function commit(writer: IngestWriter): Promise<string> {
  return writer.commit({ totalBytes: CONTENT.length, expected: digestOf(CONTENT) }, (digest) => digest);
}

test("a full disk is ResourceExhausted, and the ingest goes on when there is room again", async () => {
  using directory = temporaryDirectory();
  const mounted = join(directory.path, "small");
  using _ = mount(mounted, ["-t", "tmpfs", "-o", "size=8m", "tmpfs"]);
  const files = await ContentFiles.open(join(mounted, "content"), () => 0n);
  const filler = join(mounted, "filler");
  writeFileSync(filler, Buffer.alloc(4 * MIB));
  {
    await using writer = await openWriter(files);
    await assert.rejects(appendRest(writer), { code: Code.ResourceExhausted, message: /^ref "a": ENOSPC/ });
    await assert.rejects(writer.append(Buffer.from("x")), { code: Code.FailedPrecondition, message: /earlier write/ });
  }
  const { offsetBytes = 0 } = (await files.ingestStatus("ns/1/a")) ?? {};
  assert.ok(offsetBytes >= 3 * MIB && offsetBytes < 4 * MIB, `${offsetBytes} bytes arrived`);
  {
    await using writer = await openWriter(files);
    assert.equal(writer.digest(), digestOf(CONTENT.subarray(0, offsetBytes)));
    await assert.rejects(appendRest(writer), { code: Code.ResourceExhausted });
  }
  rmSync(filler);
  await using writer = await openWriter(files);
  assert.ok(writer.offsetBytes >= offsetBytes);
  await appendRest(writer);
  assert.equal(await commit(writer), digestOf(CONTENT));
  assert.deepEqual(readdirSync(join(mounted, "content", "ingest")), []);
});

test("with no room for the ingest's own files the error is clean, and nothing is locked", async () => {
  using directory = temporaryDirectory();
  const mounted = join(directory.path, "small");
  using _ = mount(mounted, ["-t", "tmpfs", "-o", "size=1m,nr_inodes=12", "tmpfs"]);
  const files = await ContentFiles.open(join(mounted, "content"), () => 0n);
  const fillers = fillInodes(mounted);
  await assert.rejects(openWriter(files), { code: Code.ResourceExhausted });
  for (const filler of fillers) rmSync(filler);
  await using writer = await openWriter(files);
  assert.equal(writer.offsetBytes, 0);
});

/** Files until no more can be made. */
function fillInodes(folder: string): string[] {
  const made: string[] = [];
  for (;;) {
    const path = join(folder, `filler-${made.length}`);
    try {
      writeFileSync(path, "");
    } catch {
      return made;
    }
    made.push(path);
  }
}

test("a sync that fails commits nothing, and what may be lost is asked for again", async () => {
  using directory = temporaryDirectory();
  // A file system that promises more than the disk below it has: writing succeeds, reaching the disk does not.
  const [backing, mounted] = [join(directory.path, "backing"), join(directory.path, "big")];
  using _backing = mount(backing, ["-t", "tmpfs", "-o", "size=4m", "tmpfs"]);
  const image = join(backing, "image");
  execFileSync("truncate", ["-s", "64m", image]);
  execFileSync("mkfs.ext4", ["-q", "-O", "^has_journal", image]);
  using _mounted = mount(mounted, ["-o", "loop", image]);
  const files = await ContentFiles.open(join(mounted, "content"), () => 0n);
  {
    await using writer = await openWriter(files);
    await appendRest(writer);
    await assert.rejects(commit(writer), (error) => error instanceof ManagerError && /fsync/.test(error.message));
  }
  assert.deepEqual(readdirSync(join(mounted, "content", "blobs", "sha256")), []);
  assert.equal((await files.ingestStatus("ns/1/a"))?.offsetBytes, 0);
  execFileSync("mount", ["-o", "remount,size=32m", backing]);
  await using writer = await openWriter(files);
  await appendRest(writer);
  assert.equal(await commit(writer), digestOf(CONTENT));
});
