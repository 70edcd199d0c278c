/** A guest's kernel in the hands of an attacker: FUSE by the byte, through the bridge to virtiofsd. Not a byte of what is beside the share may come, or change. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import {
  type Answer,
  initRequest,
  OPCODE,
  RawGuest,
  readRequest,
  request,
} from "../../packages/fsbridge/src/testing/raw-guest.ts";
import { Flipper } from "./bed/flipper.ts";

const SECRET = "the host's secret";
const OWN = "the share's own";
const ROOT = 1n;
const ROUNDS = Number(process.env.ATTACK_ROUNDS ?? 40) * 25;

/** A shared folder with a directory, and links that lead out of it; `beside` is the host's. */
async function open() {
  const guest = await RawGuest.open("trimaran-fsbridge");
  const beside = join(guest.folder, "beside");
  for (const path of [join(guest.shared, "dir"), beside]) mkdirSync(path);
  writeFileSync(join(beside, "secret"), SECRET);
  writeFileSync(join(guest.shared, "dir/secret"), OWN);
  symlinkSync("../beside", join(guest.shared, "link"));
  symlinkSync(join(beside, "secret"), join(guest.shared, "file-link"));
  guest.send(initRequest(2));
  await guest.answer();
  let asked = 1;
  const nextUnique = (): number => {
    asked++;
    return 2 * asked;
  };
  const ask = async (opcode: number, nodeid: bigint, body: Uint8Array): Promise<Answer> => {
    guest.send(request(opcode, nextUnique(), nodeid, body));
    return await guest.answer();
  };
  /** Undefined: there is none. */
  const lookUp = async (parent: bigint, path: string): Promise<bigint | undefined> => {
    const { error, body } = await ask(OPCODE.LOOKUP, parent, name(path));
    return error === 0 ? body.readBigUInt64LE(0) : undefined;
  };
  /** What a file holds; undefined where it can't be opened or read. */
  const read = async (nodeid: bigint): Promise<string | undefined> => {
    const opened = await ask(OPCODE.OPEN, nodeid, Buffer.alloc(8));
    if (opened.error !== 0) return undefined;
    guest.send(readRequest(nextUnique(), nodeid, opened.body.readBigUInt64LE(0), 4096));
    const { error, body } = await guest.answer();
    return error === 0 ? body.toString() : undefined;
  };
  return { guest, beside, ask, lookUp, read, [Symbol.asyncDispose]: () => guest[Symbol.asyncDispose]() };
}

function name(...names: readonly string[]): Buffer {
  return Buffer.from(names.map((each) => `${each}\0`).join(""));
}

function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value, index * 4);
  return bytes;
}

function node(nodeid: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(nodeid);
  return bytes;
}

/** Requests that make, move or remove a name: opcode of linux/fuse.h, and what goes before the name. */
const NAMING: Readonly<Record<string, readonly [opcode: number, body: (hostile: string) => Buffer]>> = {
  symlink: [6, (hostile) => name(hostile, "target")],
  mknod: [8, (hostile) => Buffer.concat([words(0o100644, 0, 0, 0), name(hostile)])],
  mkdir: [9, (hostile) => Buffer.concat([words(0o755, 0), name(hostile)])],
  unlink: [10, (hostile) => name(hostile)],
  rmdir: [11, (hostile) => name(hostile)],
  "rename to": [12, (hostile) => Buffer.concat([node(ROOT), name("dir", hostile)])],
  "rename from": [12, (hostile) => Buffer.concat([node(ROOT), name(hostile, "taken")])],
  link: [13, (hostile) => Buffer.concat([node(ROOT), name(hostile)])],
  create: [35, (hostile) => Buffer.concat([words(0o101, 0o644, 0, 0), name(hostile)])],
  exchange: [45, (hostile) => Buffer.concat([node(ROOT), words(2, 0), name(hostile, "dir")])],
};
const NAMES = [
  "..",
  ".",
  "../beside",
  "../beside/made",
  "dir/../../beside/secret",
  "link/made",
  "link/secret",
  "/etc/passwd",
  "",
];

test("names that are paths: each way to make, move and remove refuses them", { timeout: 60_000 }, async () => {
  await using share = await open();
  for (const hostile of NAMES)
    for (const [verb, [opcode, body]] of Object.entries(NAMING)) {
      const { error } = await share.ask(opcode, ROOT, body(hostile));
      assert.notEqual(error, 0, `${verb} ${JSON.stringify(hostile)}`);
    }
  // The control: the same requests with a plain name do what they say.
  for (const verb of ["symlink", "mkdir", "create"] as const) {
    const [opcode, body] = NAMING[verb] ?? [0, () => Buffer.alloc(0)];
    assert.equal((await share.ask(opcode, ROOT, body(`made-${verb}`))).error, 0);
  }
  assert.deepEqual(readdirSync(share.guest.shared).sort(), [
    "dir",
    "file-link",
    "link",
    "made-create",
    "made-mkdir",
    "made-symlink",
  ]);
  assert.deepEqual(readdirSync(share.beside), ["secret"]);
  assert.equal(readFileSync(join(share.beside, "secret"), "utf8"), SECRET);
});

test("looking up, opening and reading by ways around: no byte of what is beside the share", {
  timeout: 60_000,
}, async () => {
  await using share = await open();
  const dir = (await share.lookUp(ROOT, "dir")) ?? 0n;
  const links = [await share.lookUp(ROOT, "link"), await share.lookUp(ROOT, "file-link")];
  for (const parent of [ROOT, dir, ...links, 999n, 0n, 2n ** 64n - 1n])
    for (const hostile of [...NAMES, "secret", "beside"]) {
      const nodeid = await share.lookUp(parent ?? 0n, hostile);
      if (nodeid === undefined) continue;
      const seen = await share.read(nodeid);
      assert.ok(seen === undefined || seen === OWN, `${parent} ${hostile}: ${seen}`);
    }
  for (const link of links)
    assert.equal(await share.read(link ?? 0n), undefined, "a link is not opened for its target");
  for (const unknown of [999n, 2n ** 64n - 1n]) assert.equal(await share.read(unknown), undefined);
  assert.equal(await share.read((await share.lookUp(dir, "secret")) ?? 0n), OWN, "the control: what is shared is read");
});

test("a directory of the share becomes a link to the host while a guest looks up what is in it", {
  timeout: 120_000,
}, async () => {
  await using share = await open();
  const path = join(share.guest.shared, "dir");
  const seen = { share: new Set<string | undefined>(), host: new Set<string>() };
  {
    await using _ = new Flipper([[path, join(share.guest.shared, "link")]]);
    for (let round = 0; round < ROUNDS; round++) {
      const dir = await share.lookUp(ROOT, "dir");
      const file = dir === undefined ? undefined : await share.lookUp(dir, "secret");
      seen.share.add(file === undefined ? undefined : await share.read(file));
      seen.host.add(readFileSync(join(path, "secret"), "utf8"));
    }
  }
  assert.ok(seen.host.has(SECRET), "the control: who walks by the path loses");
  assert.ok(seen.share.has(OWN) && !seen.share.has(SECRET), [...seen.share].join());
});
