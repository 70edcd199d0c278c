import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { SeccompCompiler } from "../seccomp/compiler.ts";
import { lazyNative } from "../syscall/native.ts";
import { SYSCALL, toArchitecture } from "../syscall/numbers.ts";
import { SLOT, SYNC_CODE } from "./opcodes.ts";
import { ProgramBuilder } from "./program.ts";
import { sendFd } from "./send-fd.ts";
import { defaultSpec } from "./testing/default-spec.ts";
import { TestPod } from "./testing/pod.ts";
import { FdReceiver } from "./testing/receive-fd.ts";

let pod: TestPod;
before(async () => {
  pod = await TestPod.open();
});
after(() => pod[Symbol.asyncDispose]());

/** linux/seccomp.h, for a 64-bit machine. */
const NOTIF_RECV = 0xc0502100;
const NOTIF_SEND = 0xc0182101;
const NOTIF_SIZE = 80;
const ENOANO = 55;

for (const noNewPrivileges of [true, false]) {
  test(`SCMP_ACT_NOTIFY: the agent gets one fd, and decides (noNewPrivileges ${noNewPrivileges})`, async () => {
    const path = join(pod.folder, `agent-${noNewPrivileges}.sock`);
    using agent = new FdReceiver(path);
    const sent: number[] = [];
    pod.onSync = (sync, link) => {
      const b = new ProgramBuilder(pod.host.architecture);
      sendFd(b, SLOT.listener, path, '{"hello":1}');
      b.op("DROP", [SLOT.listener]);
      void link.run(sync.key, b.build().bytes).then(({ errno }) => {
        sent.push(sync.code, errno);
        link.syncReply(sync.key, errno, 0n);
      });
    };
    const config = defaultSpec(["mkdir", "/tmp/made"]);
    config.process.noNewPrivileges = noNewPrivileges;
    const compiled = new SeccompCompiler(lazyNative()).compile({
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_NOTIFY" }],
    });
    assert.ok(compiled);
    const seccomp = { bytes: compiled.program, flags: compiled.flags, passesGate: true, notify: compiled.notify };
    const container = await pod.create(config, { seccomp });
    assert.equal(container.failure, undefined);
    assert.deepEqual(sent, [SYNC_CODE.LISTENER, 0]);
    const { text, fd } = agent.receive();
    assert.equal(text, '{"hello":1}');
    await container.start();
    const request = Buffer.alloc(NOTIF_SIZE);
    agent.native.check("ioctl", [fd, NOTIF_RECV, request]);
    const { mkdirat } = SYSCALL[toArchitecture(process.arch)];
    assert.ok([mkdirat, 83].includes(request.readInt32LE(16))); // mkdir is 83 on x86_64
    const answer = Buffer.alloc(24);
    request.copy(answer, 0, 0, 8);
    answer.writeInt32LE(-ENOANO, 16);
    agent.native.check("ioctl", [fd, NOTIF_SEND, answer]);
    agent.native.check("close", [fd]);
    const { code, stderr } = await container.end();
    assert.equal(code, 1);
    assert.match(stderr, /mkdir: can't create directory '\/tmp\/made': No anode/);
  });
}

test("an agent that is not there fails the start, in the sentence of whoever answers", async () => {
  pod.onSync = (sync, link) => {
    const b = new ProgramBuilder(pod.host.architecture);
    sendFd(b, SLOT.listener, join(pod.folder, "nobody.sock"), "x");
    void link.run(sync.key, b.build().bytes).then(({ errno }) => link.syncReply(sync.key, errno, 0n));
  };
  const allow = Buffer.from("060000000000ff7f", "hex"); // return ALLOW
  const container = await pod.create(defaultSpec(["true"]), {
    seccomp: { bytes: allow, flags: 0, passesGate: true, notify: true },
  });
  assert.equal((await container.end()).failure, "linux.seccomp.listenerPath: ENOENT from send the listener");
});
