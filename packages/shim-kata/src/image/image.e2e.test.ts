import assert from "node:assert/strict";
import {
  appendFileSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Code } from "ttrpc-ts";
import { standInSources } from "../testing/guest-sources.ts";
import { KERNELS } from "../testing/test-guest.ts";
import { currentManifest, ensureImage, type GuestImage, verifyImage } from "./ensure.ts";
import { isFresh } from "./manifest.ts";

const directory = mkdtempSync(join(tmpdir(), "kata-image-"));
after(() => rmSync(directory, { recursive: true }));
const sources = await standInSources(join(directory, "sources"));
const signal = AbortSignal.timeout(380_000);
const ensure = (cache: string) =>
  ensureImage(sources, {
    cacheDirectory: join(directory, cache),
    kernelDirectory: KERNELS,
    download: "missing",
    signal,
  });
const bytes = ({ kernel, initrd, disk }: GuestImage) => [kernel, initrd, disk].map((path) => readFileSync(path));

test("an image is made once, and equal inputs make equal bytes", async () => {
  const [first, second] = await Promise.all([ensure("a"), ensure("a")]);
  assert.deepEqual(first, second);
  const other = await ensure("b");
  assert.equal(other.key, first.key);
  assert.deepEqual(bytes(other), bytes(first));
  await verifyImage(first);
  assert.deepEqual(readdirSync(join(directory, "a/images")), [first.key], "nothing of its making is left");
});

test("everything in it is listed with a reason", async () => {
  await ensure("a");
  const contents = currentManifest(sources, join(directory, "a"))?.contents ?? [];
  for (const { path, reason } of contents) assert.ok(reason.length > 5, path);
  const paths = contents.map(({ path }) => path);
  for (const path of ["vmlinux", "/init", "/modules/erofs.ko", "/usr/bin/node", "/usr/lib/trimaran/agent.cjs"])
    assert.ok(paths.includes(path), path);
});

test("another agent is another image; the one before stays, and one in use; the one before that does not", async () => {
  const agent = join(sources.directory, "agent.cjs");
  const original = readFileSync(agent);
  const first = await ensure("c");
  appendFileSync(agent, "// changed\n");
  const second = await ensure("c");
  assert.notEqual(second.key, first.key);
  writeFileSync(agent, original);
  assert.equal((await ensure("c")).key, first.key, "the same bytes again are the same image");
  const images = join(directory, "c/images");
  const another = async (name: string) => {
    writeFileSync(join(sources.directory, name), "x");
    const { key } = await ensure("c");
    rmSync(join(sources.directory, name));
    return key;
  };
  const third = await another("more.txt");
  assert.deepEqual(
    readdirSync(images).sort(),
    [first.key, second.key, third].sort(),
    "somebody may be starting from it",
  );
  utimesSync(join(images, second.key), 0, 0);
  utimesSync(join(images, first.key), 1, 1);
  await ensure("c"); // the first one is in use
  const fourth = await another("most.txt");
  assert.deepEqual(readdirSync(images).sort(), [first.key, third, fourth].sort());
});

test("an installation does not take the image of another one with the same Node", async () => {
  const first = await ensure("g");
  const other = join(directory, "other");
  cpSync(sources.directory, other, { recursive: true });
  appendFileSync(join(other, "agent.cjs"), "// another\n");
  const options = {
    cacheDirectory: join(directory, "g"),
    kernelDirectory: KERNELS,
    download: "never",
    signal,
  } as const;
  const second = await ensureImage({ ...sources, directory: other }, options);
  assert.notEqual(second.key, first.key);
});

test("an image that is cut short is built again; one with other bytes is found out before a boot", async () => {
  const image = await ensure("d");
  truncateSync(image.disk, 4096);
  await ensure("d");
  await verifyImage(image);
  const changed = readFileSync(image.initrd);
  changed[1000] = (changed[1000] ?? 0) ^ 1;
  writeFileSync(image.initrd, changed);
  const refused = {
    code: Code.FailedPrecondition,
    message: /initrd\.img: is not what was built; trimaran kata image build/,
  };
  await assert.rejects(verifyImage(image), refused);
  await ensure("d");
  await verifyImage(image);
});

test("half an image is none: a build that was killed is done again", async () => {
  const { key } = await ensure("e");
  rmSync(join(directory, "e/images", key, "manifest.json"));
  writeFileSync(join(directory, "e/images", key, "vmlinux"), "");
  const image = await ensure("e");
  assert.ok(isFresh(currentManifest(sources, join(directory, "e")) ?? assert.fail("no manifest")));
  await verifyImage(image);
});

test("what is missing is named, with what to type", async () => {
  const refused = (message: RegExp) => ({ code: Code.FailedPrecondition, message });
  const never = { cacheDirectory: join(directory, "f"), download: "never", signal } as const;
  await assert.rejects(ensureImage(sources, never), refused(/no kernel was downloaded yet; trimaran kata image build/));
  const cached = { ...never, kernelDirectory: KERNELS };
  const without = (changes: Partial<typeof sources>) => ensureImage({ ...sources, ...changes }, cached);
  await assert.rejects(
    without({ busybox: "/none/busybox" }),
    refused(/busybox: there is no such file; apt-get install busybox-static/),
  );
  await assert.rejects(without({ directory: "/none" }), refused(/\/none\/init: there is no such file; npm run build/));
  await assert.rejects(without({ node: "/bin/busybox" }), refused(/./)); // static: ldd refuses
  assert.deepEqual(readdirSync(join(directory, "f/images")), []);
});
