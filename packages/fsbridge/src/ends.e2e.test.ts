/** Whoever goes, the others go too, with a reason; whoever waits for a file gets an error instead of waiting. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import {
  BUILDS,
  type Build,
  type End,
  family,
  killIfThere,
  socketPair,
  standStill,
  startDaemon,
  startHalf,
} from "./testing/halves.ts";
import { Share } from "./testing/share.ts";

const ENDED = 0;
const FAILED = 1;
const BAD_DAEMON = 3;
const BAD_HOST = 4;
const SOON_MS = 5000;

/** A read that waits for a daemon that stands still; what it says in the end. */
async function hangingRead(share: Share): Promise<{ readonly said: Promise<string>; readonly release: () => void }> {
  await share.sh('head -c 100000 /dev/urandom > "$S/file"');
  const daemon = await standStill(share.daemon);
  const requests = () => Number(/rchar: (\d+)/.exec(readFileSync(`/proc/${share.guest.pid}/io`, "utf8"))?.[1]);
  const before = requests();
  const said = share.sh('cat "$M/file" 2>&1 >/dev/null || true', SOON_MS);
  while (requests() === before) await setTimeout(1); // until the guest half has its request
  const release = () => {
    for (const pid of daemon) process.kill(pid, "SIGCONT");
  };
  return { said, release };
}

function ending({ code, signal, stderr }: End): string {
  return `${code ?? signal} ${stderr}`;
}

for (const build of BUILDS) {
  test(`${build}: the host half is killed`, async () => {
    await using share = await Share.open(build);
    const { said, release } = await hangingRead(share);
    share.host.child.kill("SIGKILL");
    assert.match(await said, /Software caused connection abort|Transport endpoint is not connected/);
    assert.equal(ending(await share.guest.ended), `${BAD_HOST} trimaran-fsbridge: host: closed\n`);
    assert.match(await share.sh('ls "$M" 2>&1 || true', SOON_MS), /Transport endpoint is not connected/);
    release();
    await share.daemon.ended;
  });

  test(`${build}: the guest half is killed`, async () => {
    await using share = await Share.open(build);
    const { said, release } = await hangingRead(share);
    share.guest.child.kill("SIGKILL");
    assert.match(await said, /Software caused connection abort|Transport endpoint is not connected/);
    assert.equal(ending(await share.host.ended), `${ENDED} trimaran-fsbridge: guest: closed\n`);
    release();
    await share.daemon.ended;
  });

  test(`${build}: the file daemon is killed`, async () => {
    await using share = await Share.open(build);
    const { said } = await hangingRead(share);
    for (const pid of family(share.daemon)) killIfThere(pid);
    assert.match(await said, /Software caused connection abort|Transport endpoint is not connected/);
    assert.equal(ending(await share.host.ended), `${BAD_DAEMON} trimaran-fsbridge: file daemon: closed\n`);
    assert.equal(ending(await share.guest.ended), `${BAD_HOST} trimaran-fsbridge: host: closed\n`);
  });

  test(`${build}: the file daemon is killed before a guest has come`, async () => {
    const folder = mkdtempSync(join(tmpdir(), "fsbridge-"));
    const path = join(folder, "daemon.sock");
    await using daemon = await startDaemon(folder, path);
    await using host = startHalf(build, ["host", `listen:${join(folder, "guest.sock")}`, `connect:${path}`]);
    while (!existsSync(join(folder, "guest.sock"))) await setTimeout(1);
    for (const pid of family(daemon)) killIfThere(pid);
    assert.equal(ending(await host.ended), `${BAD_DAEMON} trimaran-fsbridge: file daemon: closed\n`);
    rmSync(folder, { recursive: true });
  });

  test(`${build}: the guest unmounts`, async () => {
    await using share = await Share.open(build);
    await share.sh('ls "$M"; umount "$M"');
    assert.equal(ending(await share.guest.ended), `${ENDED} trimaran-fsbridge: unmounted\n`);
    assert.equal(ending(await share.host.ended), `${ENDED} trimaran-fsbridge: guest: closed\n`);
    await share.daemon.ended;
  });

  for (const [name, talk, reason] of [
    ["says nothing and goes", (socket: Socket) => socket.end(), "closed during the set-up"],
    ["speaks something else", (socket: Socket) => socket.write(Buffer.alloc(200, "x")), "does not speak vhost-user"],
    ["can too little", (socket: Socket) => socket.write(features(1n)), "lacks features that are needed"],
  ] as const)
    test(`${build}: a file daemon that ${name}`, async () => {
      const end = await startAgainst(build, talk);
      assert.equal(ending(end), `${BAD_DAEMON} trimaran-fsbridge: file daemon: ${reason}\n`);
    });

  test(`${build}: what can't be opened`, async () => {
    for (const [args, reason] of [
      [["host", "fd:77", "connect:/nowhere"], "endpoint: connect: No such file or directory"],
      [["host", "fd:0", "fd:77"], "endpoint: not the number of an open fd"],
      [["host", "fd:0", `connect:/${"x".repeat(107)}`], "endpoint: the socket's path is longer than 107 bytes"],
      [["guest", "/dev/nothing", "/"], "endpoint: open: No such file or directory"],
      [["guest", "fd:0", "/nowhere"], "mount: No such file or directory"],
    ] as const) {
      await using half = startHalf(build, args);
      assert.equal(ending(await half.ended), `${FAILED} trimaran-fsbridge: ${reason}\n`);
    }
    await using half = startHalf(build, ["nonsense"]);
    assert.match(ending(await half.ended), /^1 usage: trimaran-fsbridge host GUEST DAEMON\n/);
  });

  for (const [name, answer, reason] of [
    ["an answer shorter than its header", header(15, 0), "host: an answer is shorter than its header"],
    ["an answer longer than any", header(2 ** 31, 0), "host: an answer is longer than 1052672 bytes"],
    ["an answer that is none", header(16, 5), "host: the kernel refuses an answer: Invalid argument"],
    ["INIT refused", header(16, -71), "host: refuses the mount: Protocol error"],
  ] as const)
    test(`${build}: the host sends ${name}`, async () => {
      const folder = mkdtempSync(join(tmpdir(), "fsbridge-"));
      const [near, far] = await socketPair();
      await using guest = startHalf(build, ["guest", "fd:3", folder], [far]);
      far.destroy();
      near.once("data", (request: Buffer) => {
        answer.writeBigUInt64LE(request.readBigUInt64LE(8), 8);
        near.write(answer);
      });
      assert.equal(ending(await guest.ended), `${BAD_HOST} trimaran-fsbridge: ${reason}\n`);
      near.destroy();
      execFileSync("umount", [folder]);
      rmdirSync(folder);
    });
}

test("pages of large messages go back to the machine a second after the last one", async () => {
  await using share = await Share.open();
  await share.sh(
    'head -c 20000000 /dev/urandom > "$M/large"; cat "$S/large" > "$M/second"; cmp "$M/large" "$M/second"',
  );
  const residentKib = (pid: number) =>
    Number(/Rss:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1]);
  for (const { pid } of [share.host, share.guest]) while (residentKib(pid) > 1200) await setTimeout(50);
});

/** An answer's header, for any request. */
function header(length: number, error: number): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32LE(length, 0);
  bytes.writeInt32LE(error, 4);
  return bytes;
}

/** vhost-user's answer to GET_FEATURES. */
function features(bits: bigint): Buffer {
  const bytes = Buffer.alloc(20);
  for (const [i, value] of [1, 5, 8].entries()) bytes.writeUInt32LE(value, i * 4);
  bytes.writeBigUInt64LE(bits, 12);
  return bytes;
}

/** A host half with a file daemon that the test plays. */
async function startAgainst(build: Build, talk: (socket: Socket) => void): Promise<End> {
  const folder = mkdtempSync(join(tmpdir(), "fsbridge-"));
  const path = join(folder, "daemon.sock");
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => talk(socket));
  }).listen(path);
  await new Promise((resolve) => server.once("listening", resolve));
  const end = await startHalf(build, ["host", "fd:0", `connect:${path}`]).ended;
  await new Promise((resolve) => server.close(resolve));
  rmdirSync(folder);
  return end;
}
