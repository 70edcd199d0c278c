import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import { readDevices } from "../network/read-device.ts";
import { parseSpec } from "../spec/spec.ts";
import { moveDevices } from "./net-devices.ts";
import { SYNC_CODE } from "./opcodes.ts";
import { ProgramBuilder } from "./program.ts";
import { defaultSpec } from "./testing/default-spec.ts";
import { type Outcome, TestPod } from "./testing/pod.ts";

let pod: TestPod;
const DEVICE = `tr${process.pid}`.slice(0, 13);
const PEER = `${DEVICE}p`;
const ip = (...args: string[]) => execFileSync("ip", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });

before(async () => {
  pod = await TestPod.open();
});
after(() => pod[Symbol.asyncDispose]());

/** A veth pair for the time of `body`; it goes with the namespace that one end is in. */
async function withDevice(body: () => Promise<void>): Promise<void> {
  ip("link", "add", DEVICE, "type", "veth", "peer", "name", PEER);
  try {
    await body();
  } finally {
    try {
      ip("link", "del", PEER);
    } catch {
      // gone with the container
    }
  }
}

async function run(script: string, netDevices: object, kinds?: readonly string[]): Promise<Outcome> {
  const config = defaultSpec(["sh", "-c", script]);
  Object.assign(config.linux, { netDevices });
  if (kinds !== undefined) config.linux.namespaces = kinds.map((type) => ({ type }));
  const found = readDevices(parseSpec(JSON.stringify(config)).linux.netDevices, "throw");
  pod.onSync = (sync, link) => {
    assert.equal(sync.code, SYNC_CODE.NETWORK);
    const b = new ProgramBuilder(pod.host.architecture);
    moveDevices(b, found, link.processes.get(sync.key)?.pid ?? 0);
    void link.run(sync.key, b.build().bytes).then(({ errno }) => link.syncReply(sync.key, errno, 0n));
  };
  const container = await pod.create(config, { netDevices: found });
  return await container.end();
}

const SHOW = "ip -o addr; ip -o link";

test("an interface is moved and renamed, keeps its addresses, is up", async () => {
  for (const kinds of [undefined, ["mount", "network", "time", "pid"]])
    await withDevice(async () => {
      ip("addr", "add", "10.11.12.13/24", "broadcast", "10.11.12.255", "dev", DEVICE);
      ip("addr", "add", "10.11.12.14/32", "dev", DEVICE);
      ip("-6", "addr", "add", "fd00::5/64", "nodad", "dev", DEVICE);
      ip("link", "set", DEVICE, "mtu", "1400", "up");
      const { stdout, failure } = await run(SHOW, { [DEVICE]: { name: "inside0" } }, kinds);
      assert.equal(failure, undefined);
      assert.match(stdout, /inside0\s+inet 10\.11\.12\.13\/24 brd 10\.11\.12\.255 scope global/);
      assert.match(stdout, /inside0\s+inet 10\.11\.12\.14\/32 scope global/);
      assert.match(stdout, /inside0\s+inet6 fd00::5\/64 scope global/);
      assert.match(stdout, /inside0[^\n]*<[A-Z_,-]*\bUP\b[^\n]* mtu 1400/);
    });
});

test("without a name it keeps its own; a taken name, a missing interface: errors that name it", async () => {
  await withDevice(async () => {
    const kept = await run(`ip -o link show ${DEVICE}`, { [DEVICE]: {} });
    assert.equal(kept.code, 0, kept.stderr);
  });
  await withDevice(async () => {
    const { failure } = await run("true", { [DEVICE]: { name: "lo" } });
    assert.equal(failure, `linux.netDevices "${DEVICE}": the container has an interface of that name`);
    assert.match(ip("-o", "link", "show", DEVICE), new RegExp(DEVICE)); // still the host's
  });
  await assert.rejects(
    run("true", { "trimaran-none": {} }),
    /^InvalidSpec: linux\.netDevices "trimaran-none": no such interface$/,
  );
});
