import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  closeSync,
  cpSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { loadSyscalls } from "../host/syscalls.ts";
import { randomNumbers } from "../testing/random.ts";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import type { DiffResult } from "./diff/diff-trees.ts";
import type { Mount } from "./mount/mount.ts";
import { toText } from "./tar/byte-string.ts";
import { TarDecoder } from "./tar/tar-decoder.ts";
import type { TarMember } from "./tar/tar-members.ts";
import { changeTree, describeTree } from "./testing/random-tree.ts";
import type { DiffJob } from "./thread/layer-job.ts";
import { LayerThreads } from "./thread/layer-threads.ts";
import { DEFAULT_LIMITS } from "./unpack/limits.ts";

const ROUNDS = 25;
const libc = loadSyscalls();
const mountRoot = temporaryDirectory();
const threads = new LayerThreads({ mountRoot: mountRoot.path });
after(async () => {
  await threads[Symbol.asyncDispose]();
  mountRoot[Symbol.dispose]();
});

const bind = (source: string): Mount[] => [{ type: "bind", source, target: "", options: ["rw", "rbind"] }];

type Options = Partial<Omit<DiffJob, "kind" | "left" | "right">>;

async function diff(
  left: Mount[],
  right: Mount[],
  options: Options = {},
): Promise<{ layer: Buffer; result: DiffResult }> {
  const chunks: Uint8Array[] = [];
  const job = { kind: "diff", compression: "none", latestSeconds: undefined, left, right, ...options } as const;
  const result = await threads.run(job, { write: async (chunk) => void chunks.push(chunk) });
  return { layer: Buffer.concat(chunks), result };
}

async function apply(layer: Buffer, directory: string, lowers?: readonly string[]): Promise<void> {
  using file = temporaryDirectory();
  writeFileSync(join(file.path, "layer"), layer);
  const fd = openSync(join(file.path, "layer"), "r");
  const target =
    lowers === undefined
      ? ({ kind: "directory", directory } as const)
      : ({ kind: "upper", directory, lowers } as const);
  try {
    const source = { blob: { fd, offset: 0, sizeBytes: layer.length }, isPlain: true };
    await threads.run({ kind: "apply", source, target, limits: DEFAULT_LIMITS, sync: false });
  } finally {
    closeSync(fd);
  }
}

function members(layer: Buffer): TarMember[] {
  const all: TarMember[] = [];
  const decoder = new TarDecoder({ begin: (member) => void all.push(member), data: () => {}, end: () => {} });
  decoder.push(layer);
  decoder.finish();
  return all;
}

/** `left` and `right` in a directory of their own, `right` a copy of `left` that `change` gets. */
function trees(make: (left: string) => void, change: (right: string) => void) {
  const directory = temporaryDirectory();
  const [left, right] = [join(directory.path, "left"), join(directory.path, "right")];
  mkdirSync(left);
  make(left);
  execFileSync("cp", ["-a", left, right]);
  change(right);
  return { left, right, path: directory.path, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

/** Mount the overlay of a container for a while. */
function overlay(lowers: readonly string[], upper: string, place: string): Disposable {
  const work = `${upper}.work`;
  for (const path of [work, place]) mkdirSync(path, { recursive: true });
  const options = `lowerdir=${lowers.join(":")},upperdir=${upper},workdir=${work},index=off`;
  execFileSync("mount", ["-t", "overlay", "overlay", "-o", options, place]);
  return { [Symbol.dispose]: () => void execFileSync("umount", [place]) };
}

test(`${ROUNDS} random trees: the diff, applied to the old tree, makes the new one, plain and as an overlay`, async () => {
  for (let seed = 1; seed <= ROUNDS; seed++) {
    const random = randomNumbers(seed);
    using tree = trees(
      (left) => changeTree(left, random, 40, libc),
      (right) => changeTree(right, random, 20, libc),
    );
    const { layer } = await diff(bind(tree.left), bind(tree.right));
    const wanted = describeTree(tree.right, libc);
    const upper = join(tree.path, "upper");
    mkdirSync(upper);
    await apply(layer, upper, [tree.left]);
    {
      using _mounted = overlay([tree.left], upper, join(tree.path, "merged"));
      assert.deepEqual(describeTree(join(tree.path, "merged"), libc), wanted, `overlay, seed ${seed}`);
    }
    await apply(layer, tree.left);
    assert.deepEqual(describeTree(tree.left, libc), wanted, `plain, seed ${seed}`);
    assert.deepEqual(members((await diff(bind(tree.left), bind(tree.left))).layer), [], `seed ${seed}`);
  }
});

test("the changes of a container, in an overlay that is mounted and in use, make the same tree elsewhere", async () => {
  const random = randomNumbers(4711);
  using directory = temporaryDirectory();
  const [base, middle, upper, copy] = ["base", "middle", "upper", "copy"].map((name) => join(directory.path, name)) as [
    string,
    string,
    string,
    string,
  ];
  for (const path of [base, middle, upper, copy]) mkdirSync(path);
  changeTree(base, random, 60, libc);
  changeTree(middle, random, 20, libc);
  const merged = join(directory.path, "merged");
  using _running = overlay([middle, base], upper, merged);
  changeTree(merged, random, 60, libc);
  const lowerdir = `lowerdir=${middle}:${base}`;
  const lower: Mount = { type: "overlay", source: "overlay", target: "", options: [lowerdir, "index=off"] };
  const active: Mount = { ...lower, options: [`workdir=${upper}.work`, `upperdir=${upper}`, lowerdir, "index=off"] };
  const { layer } = await diff([lower], [active]);
  await apply(layer, copy, [middle, base]);
  using _copy = overlay([middle, base], copy, join(directory.path, "copied"));
  assert.deepEqual(describeTree(join(directory.path, "copied"), libc), describeTree(merged, libc));
});

test("what is in a layer, and in which order", async () => {
  const server = createServer();
  using tree = trees(
    (left) => {
      mkdirSync(join(left, "dir/sub"), { recursive: true });
      for (const name of ["dir/same", "dir/gone", "linked", "dir/sub/touched"]) writeFileSync(join(left, name), "1");
      symlinkSync("x", join(left, "turned"));
    },
    (right) => {
      execFileSync("rm", ["-r", "dir/gone", "turned"], { cwd: right });
      mkdirSync(join(right, "turned"));
      linkSync(join(right, "linked"), join(right, "a-new-name"));
      execFileSync("touch", ["-d", "2001-01-01", "dir/sub/touched"], { cwd: right });
      writeFileSync(join(right, "new\xff"), "2");
    },
  );
  await new Promise<void>((resolve) => server.listen(join(tree.right, "socket"), resolve));
  const { layer } = await diff(bind(tree.left), bind(tree.right));
  server.close();
  const seen = members(layer).map(({ name, type, linkName, mode }) => [toText(name), type, linkName, mode & 0o777]);
  assert.deepEqual(seen, [
    ["a-new-name", "0", "", 0o644],
    ["dir/", "5", "", 0o755],
    ["dir/.wh.gone", "0", "", 0],
    ["dir/sub/", "5", "", 0o755],
    ["dir/sub/touched", "0", "", 0o644],
    ["linked", "1", "a-new-name", 0o644],
    ["new\xff", "0", "", 0o644],
    ["turned/", "5", "", 0o755],
  ]);
  const whiteout = members(layer).find(({ name }) => name === "dir/.wh.gone");
  assert.deepEqual([whiteout?.mtimeSeconds, whiteout?.sizeBytes], [0, 0]);
  assert.ok(members(layer).every(({ mtimeNanoseconds, xattrs }) => mtimeNanoseconds === 0 && xattrs.size === 0));
  const latestSeconds = 1_000_000_000;
  const { layer: older } = await diff(bind(tree.left), bind(tree.right), { latestSeconds });
  assert.ok(members(older).every(({ mtimeSeconds }) => mtimeSeconds <= latestSeconds));
});

test("times of whole seconds say nothing: the contents are compared", async () => {
  const fill = (letter: string) => (root: string) => {
    writeFileSync(join(root, "same-size"), letter.repeat(400_000));
    execFileSync("touch", ["-d", "2001-01-01 00:00:00", join(root, "same-size")]);
  };
  using changed = trees(fill("a"), fill("b"));
  const { layer } = await diff(bind(changed.left), bind(changed.right));
  assert.deepEqual(
    members(layer).map(({ name }) => name),
    ["same-size"],
  );
  using same = trees(fill("a"), fill("a"));
  assert.deepEqual(members((await diff(bind(same.left), bind(same.right))).layer), []);
});

test("gzip and zstd have the same diff id, and digests of what is written", async () => {
  using tree = trees(
    () => {},
    (right) => cpSync(import.meta.dirname, join(right, "src"), { recursive: true }),
  );
  const plain = await diff([], bind(tree.right));
  assert.equal(plain.result.digest, plain.result.diffId);
  for (const [compression, unpack] of [
    ["gzip", gunzipSync],
    ["zstd", zstdDecompressSync],
  ] as const) {
    const { layer, result } = await diff([], bind(tree.right), { compression });
    assert.ok(unpack(layer).equals(plain.layer));
    const digest = `sha256:${createHash("sha256").update(layer).digest("hex")}`;
    assert.deepEqual(result, { diffId: plain.result.diffId, digest, sizeBytes: layer.length });
  }
});

test("links out of the tree are not followed, whoever puts them there", async () => {
  using tree = trees(
    () => {},
    (right) => {
      symlinkSync("/etc", join(right, "etc"));
      symlinkSync("../../../../etc/passwd", join(right, "passwd"));
    },
  );
  const { layer } = await diff([], bind(tree.right));
  assert.deepEqual(
    members(layer).map(({ name, type }) => [name, type]),
    [
      ["etc", "2"],
      ["passwd", "2"],
    ],
  );
});

test("a chain of 120 layers with long paths fits, and nothing is seen of its mounts", async () => {
  using directory = temporaryDirectory();
  const folder = join(directory.path, "a".repeat(100));
  const lowers = Array.from({ length: 120 }, (_, index) => join(folder, String(index), "fs"));
  for (const [index, path] of lowers.entries()) {
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, `f${index}`), "");
  }
  const options = [`lowerdir=${lowers.join(":")}`, "index=off"];
  assert.ok((options[0]?.length ?? 0) > 4096);
  const before = readFileSync("/proc/self/mountinfo", "utf8");
  const { layer } = await diff([], [{ type: "overlay", source: "overlay", target: "", options }]);
  assert.equal(members(layer).length, 120);
  assert.equal(readFileSync("/proc/self/mountinfo", "utf8"), before);
  assert.deepEqual(readdirSync(mountRoot.path), []);
});

test("a slow writer slows the walk down, a failing one ends it", async () => {
  using tree = trees(
    () => {},
    (right) => writeFileSync(join(right, "big"), Buffer.alloc(16 << 20, 1)),
  );
  let [waiting, most] = [0, 0];
  const write = async () => {
    most = Math.max(most, ++waiting);
    await new Promise((resolve) => setImmediate(resolve));
    waiting--;
  };
  const job = {
    kind: "diff",
    compression: "none",
    latestSeconds: undefined,
    left: [],
    right: bind(tree.right),
  } as const;
  await threads.run(job, { write });
  assert.equal(most, 1, "one after the other");
  await assert.rejects(threads.run(job, { write: () => Promise.reject(new Error("disk")) }), /disk/);
});
