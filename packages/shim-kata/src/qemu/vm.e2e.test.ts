import assert from "node:assert/strict";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { addAbortSignal } from "node:stream";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { Code } from "ttrpc-ts";
import { openOwnImage } from "../image/own-image.ts";
import { askAgent } from "../testing/ask-agent.ts";
import { openTestGuest } from "../testing/test-guest.ts";
import { chooseAccelerator } from "./accelerator.ts";
import { findQemu, inspectQemu } from "./binary.ts";
import { startVm } from "./child-vm.ts";
import { connectWhenThere } from "./connect.ts";
import { readLastWords } from "./console.ts";
import { planVm, type VmRequest } from "./plan.ts";
import { Qmp } from "./qmp.ts";
import { describeEnd, whileAlive } from "./vm.ts";

const guest = await openTestGuest();
after(() => guest[Symbol.asyncDispose]());
const { image, qemu, shape, signal } = guest;

function plan(name: string, changes: Partial<VmRequest> = {}) {
  return planVm({
    ...{ qemu, image, shape, directory: join(guest.directory, name) },
    ...{ memory: { kind: "own" }, network: { kind: "none" }, ...changes },
  });
}
/** A machine that is ended with the test. */
async function boot(name: string, changes: Partial<VmRequest> = {}, fileLimitBytes?: number) {
  const planned = plan(name, changes);
  const machine = { ...planned, fileLimitBytes: fileLimitBytes ?? planned.fileLimitBytes };
  const vm = await startVm(machine);
  const limits = { limitMs: 90_000, signal, what: "boot" };
  const ask = (question: string) =>
    whileAlive(machine, vm, limits, (alive) => askAgent(machine.paths.agent, question, alive));
  const end = async () => {
    vm.kill();
    await vm.exited;
  };
  return { plan: machine, vm, ask, [Symbol.asyncDispose]: end };
}

test("a machine boots, answers, shows what it was given, and ends when it is told to", async () => {
  await using machine = await boot("cold", { shape: { ...shape, vcpus: 2 } });
  assert.match(await machine.ask("ping nonce"), /^pong nonce /);
  assert.equal(await machine.ask("eval require('os').cpus().length"), "eval 2");
  const ports = await machine.ask(
    "eval fs.readdirSync(PORTS).map((p) => fs.readFileSync(PORTS + '/' + p + '/name', 'utf8').trim()).sort()",
  );
  assert.equal(ports, 'eval ["agent.0","debug.0","exec.0","fs.0"]');
  assert.equal(await machine.ask("eval fs.existsSync('/dev/fuse') && fs.existsSync('/dev/hwrng')"), "eval true");
  assert.equal(await machine.ask("eval fs.readdirSync('/sys/class/net').sort()"), 'eval ["eth0","lo"]');
  assert.match(
    await machine.ask("eval fs.readFileSync('/sys/fs/cgroup/cgroup.controllers', 'utf8')"),
    /cpu .*memory .*pids/,
  );
  assert.match(
    await machine.ask("eval (() => { try { fs.writeFileSync('/x', ''); } catch (e) { return e.code; } })()"),
    /EROFS/,
  );
  const clocksource = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
  assert.match(
    await machine.ask(`eval fs.readFileSync('${clocksource}', 'utf8').trim()`),
    /"(tsc|tsc-early|kvm-clock)"/,
  );
  using qmp = await Qmp.open(machine.plan.paths.qmp, signal);
  const status = await qmp.execute("query-status");
  assert.ok(typeof status === "object" && status !== null && "status" in status && status.status === "running");
  await qmp.execute("quit");
  assert.equal(await machine.vm.exited, "exit status 0");
});

test("a shell with a terminal is behind debug.0, for one connection after the other; the host's going ends what runs in it", async () => {
  await using machine = await boot("debug");
  await machine.ask("ping up");
  const within = AbortSignal.any([signal, AbortSignal.timeout(60_000)]);
  const shell = async (command: string, until: RegExp) =>
    await typeInto(machine.plan.paths.debug, command, until, within);
  assert.match(await shell("tty; echo $((6 * 7))\n", /42\r\n/), /a shell in the guest.*\/dev\/pts\/\d+\r\n42/s);
  await shell("sleep 4711\n", /sleep 4711\r\n/);
  const sleeping =
    "eval fs.readdirSync('/proc').some((p) => { try { return fs.readFileSync('/proc/' + p + '/cmdline', 'latin1').includes('4711'); } catch { return false; } })";
  const gone = async () => (await machine.ask(sleeping)) === "eval false";
  for (let tries = 0; tries < 100 && !(await gone()); tries++) await setTimeout(50);
  assert.ok(await gone(), "the shell's children end with the connection");
  assert.match(await shell("exit\n", /shell in the guest.*shell in the guest/s), /exit/); // another one, at once
});

/** Type what a terminal would send; the result is all that came until `until` matched. */
async function typeInto(path: string, text: string, until: RegExp, within: AbortSignal): Promise<string> {
  const socket = await connectWhenThere(path, within);
  let received = "";
  socket.write(text);
  for await (const chunk of addAbortSignal(within, socket)) {
    received += String(chunk);
    if (until.test(received)) break; // ends the connection
  }
  return received;
}

test("a panic ends the machine at once, and is the reason", async () => {
  await using machine = await boot("panic");
  await assert.rejects(machine.ask("panic"), {
    code: Code.Unavailable,
    message: /^boot: qemu: exit status 0; the guest's console: .*Kernel panic - not syncing: sysrq triggered crash/,
  });
  assert.ok(readLastWords(machine.plan.paths.console).lines.length > 3);
});

test("an agent that ends takes its machine along, and init says how it ended", async () => {
  await using machine = await boot("agent-end");
  await assert.rejects(machine.ask("exit 3"), {
    code: Code.Unavailable,
    message: /init: the agent ended: exit status 3/,
  });
  assert.match(describeEnd(machine.plan, await machine.vm.exited), /the agent ended/);
});

test("a QEMU that is killed is noticed by who waits for it", async () => {
  await using machine = await boot("killed");
  const answer = machine.ask("ping x");
  machine.vm.kill();
  await assert.rejects(answer, { code: Code.Unavailable, message: "boot: qemu: killed by SIGKILL" });
});

test("a guest that never answers is given up, with its last words", async () => {
  const machine = plan("silent");
  const vm = await startVm(machine);
  const limits = { limitMs: 300, signal, what: "boot" };
  const never = whileAlive(machine, vm, limits, () => new Promise(() => {}));
  await assert.rejects(never, { code: Code.DeadlineExceeded, message: /^boot: not in 300 ms; qemu: is running/ });
  vm.kill();
  await vm.exited;
});

test("a console that a guest writes to without end is bounded, and the guest goes on", async () => {
  await using machine = await boot("flood", {}, 4096);
  const flood =
    "eval (() => { for (let i = 0; i < 60; i++) fs.writeSync(1, 'x'.repeat(99) + '\\n'); return 'done'; })()";
  assert.equal(await machine.ask(flood), 'eval "done"');
  assert.equal(await machine.ask(flood), 'eval "done"');
  assert.equal(statSync(machine.plan.paths.console).size, 4096);
});

test("an image that is none ends in init's own words", async () => {
  const disk = join(guest.directory, "zeros.img");
  writeFileSync(disk, Buffer.alloc(1 << 20));
  const machine = plan("corrupt", { image: openOwnImage({ ...image, disk }) });
  const vm = await startVm(machine);
  const limits = { limitMs: 60_000, signal, what: "boot" };
  const refused = { code: Code.Unavailable, message: /the image on \/dev\/vda: Invalid argument/ };
  await assert.rejects(
    whileAlive(machine, vm, limits, (alive) => askAgent(machine.paths.agent, "ping", alive)),
    refused,
  );
});

test("no QEMU, no kernel: the setting is named", async () => {
  const failed = (message: RegExp) => ({ code: Code.FailedPrecondition, message });
  assert.throws(
    () => findQemu("qemu-system-none", "/usr/bin:/bin"),
    failed(/path "qemu-system-none": is not in PATH .*apt-get install/),
  );
  assert.throws(() => findQemu("/etc/passwd", ""), failed(/path "\/etc\/passwd": is no program/));
  await assert.rejects(inspectQemu("/bin/busybox"), failed(/\/bin\/busybox/));
  assert.throws(
    () => openOwnImage({ ...image, kernel: "/none" }),
    failed(/hypervisor\.qemu\.kernel "\/none": there is no such file/),
  );
  const vm = await startVm(plan("no-kernel", { image: { ...image, kernel: "/none" } }));
  assert.match(await vm.exited, /exit status 1: .*none/);
});

test("kvm is used only where a guest boots with it, and the answer is remembered", async () => {
  const stateDirectory = join(guest.directory, "state");
  let started = 0;
  const start: typeof startVm = (machine) => {
    started++;
    return startVm(machine);
  };
  const probe = { qemu, image, stateDirectory, start, signal };
  const absent = await chooseAccelerator({ ...probe, device: "/dev/none" });
  assert.deepEqual([absent, started], [{ accelerator: "tcg", why: "/dev/none can't be opened" }, 0]);
  // A device that opens and is no kvm: QEMU itself must decide, with the real one or without.
  const choice = await chooseAccelerator({ ...probe, device: "/dev/null" });
  assert.deepEqual([await chooseAccelerator({ ...probe, device: "/dev/null" }), started], [choice, 1]);
  assert.equal(choice.accelerator === "tcg", choice.why !== "");
  assert.ok(!existsSync(join(stateDirectory, "probe")));
});

test("the probe's guest says that it works", async () => {
  const vm = await startVm(plan("probe", { shape: { ...shape, kernelParams: "-- probe" } }));
  assert.equal(await vm.exited, "exit status 0");
  assert.ok(readLastWords(join(guest.directory, "probe/console.log")).lines.includes("init: probe: ok"));
});
