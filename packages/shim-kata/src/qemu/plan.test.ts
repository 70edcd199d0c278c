import assert from "node:assert/strict";
import { test } from "node:test";
import { Code } from "ttrpc-ts";
import { planVm, type VmRequest } from "./plan.ts";

const image = { key: "k", directory: undefined, kernel: "/i/vmlinux", initrd: "/i/initrd", disk: "/i/a,b.erofs" };
const shape = {
  accelerator: "tcg",
  vcpus: 2,
  memoryMiB: 512,
  kernelParams: "x=1",
  debug: false,
  debugConsole: true,
  clockKhz: 2600000,
} as const;
const request: VmRequest = {
  ...{ qemu: { path: "/q", version: "7.2.22" }, image, shape, directory: "/run/vm" },
  ...{ memory: { kind: "own" }, network: { kind: "none" } },
};
const plan = (changes: Partial<VmRequest> = {}) => planVm({ ...request, ...changes });
const argument = (argv: readonly string[], flag: string, beginning = "") =>
  argv.find((each, index) => argv[index - 1] === flag && each.startsWith(beginning)) ?? "";

test("a machine of its own: image read-only, ports, no defaults, sandbox", () => {
  const { argv, paths, isClone, isEmulated } = plan();
  assert.equal(argument(argv, "-drive"), "if=none,id=image,format=raw,readonly=on,file=/i/a,,b.erofs");
  assert.equal(argument(argv, "-object"), "memory-backend-ram,id=ram,size=512M");
  assert.equal(argument(argv, "-chardev", "socket,id=fs"), "socket,id=fs,path=/run/vm/fs.sock,server=on,wait=off");
  assert.equal(argument(argv, "-device", "virtserialport,bus=ports.0,chardev=debug").split(",").at(-1), "name=debug.0");
  assert.match(argument(argv, "-append"), /rdinit=\/init quiet loglevel=4 tsc_early_khz=2600000 tsc=reliable x=1$/);
  assert.match(argument(argv, "-sandbox"), /^on,.*spawn=deny/);
  assert.ok(argv.includes("-nodefaults") && argv.includes("-no-user-config"));
  assert.deepEqual([paths.qmp, isClone, isEmulated], ["/run/vm/qmp.sock", false, shape.accelerator === "tcg"]);
});

test("a template writes its memory file, a clone keeps its changes and waits for the state", () => {
  const template = plan({ memory: { kind: "template", path: "/t/memory" } });
  assert.match(argument(template.argv, "-object"), /mem-path=\/t\/memory,share=on$/);
  assert.equal(template.fileLimitBytes, 512 * 2 ** 20);
  const clone = plan({ memory: { kind: "clone", path: "/t/memory" } });
  assert.match(argument(clone.argv, "-object"), /mem-path=\/t\/memory,share=off$/);
  assert.deepEqual(clone.argv.slice(-3), ["-incoming", "defer", "-S"]);
  assert.ok(clone.isClone && clone.fileLimitBytes < 2 ** 23);
  const newer = plan({ memory: { kind: "clone", path: "/t/memory" }, qemu: { path: "/q", version: "10.0.2" } });
  assert.match(argument(newer.argv, "-object"), /share=off,readonly=on,rom=off$/);
  const own = ["/i/vmlinux", "/i/initrd", "/i/a,b.erofs"];
  assert.deepEqual(template.files, { readOnly: own, writable: ["/run/vm"] });
  assert.deepEqual(clone.files, { readOnly: own, writable: ["/run/vm", "/t/memory"] });
  assert.deepEqual(newer.files, { readOnly: [...own, "/t/memory"], writable: ["/run/vm"] });
  assert.ok(plan({ fsSocket: "/run/fs.sock" }).files.readOnly.includes("/run/fs.sock"));
});

test("without a debug console there is no port for one", () => {
  const { argv } = plan({ shape: { ...shape, debugConsole: false } });
  assert.ok(!argv.some((each) => each.includes("debug")) && argv.some((each) => each.includes("name=fs.0")));
});

test("kvm takes the host's processor and measures no clock", () => {
  const { argv } = plan({ shape: { ...shape, accelerator: "kvm" } });
  assert.deepEqual([argument(argv, "-accel"), argument(argv, "-cpu")], ["kvm", "host"]);
  assert.ok(!argument(argv, "-append").includes("tsc_early_khz"));
});

test("the network's backend is the only thing that a pod's network changes", () => {
  const without = (changes: Partial<VmRequest>) => plan(changes).argv.filter((_, i, all) => all[i - 1] !== "-netdev");
  const tap = { network: { kind: "tap", name: "tap0" } } as const;
  assert.deepEqual(without(tap), without({}));
  assert.match(argument(plan(tap).argv, "-netdev"), /^tap,id=net,ifname=tap0,script=no,downscript=no/);
  assert.equal(argument(plan({ network: { kind: "tap-fd", fd: 7 } }).argv, "-netdev"), "tap,id=net,fd=7");
});

for (const [what, changes, message] of [
  ["no processors", { shape: { ...shape, vcpus: 0 } }, "vcpus: 0 is not 1 to 240"],
  ["too little memory", { shape: { ...shape, memoryMiB: 64 } }, "memory: 64 MiB is less than 128"],
  ["a long directory", { directory: `/${"d".repeat(100)}` }, /too long for sockets/],
  ["an option in a tap's name", { network: { kind: "tap", name: "t,script=x" } }, /is no name of a tap device/],
] as const) {
  test(`${what} is InvalidArgument`, () => {
    assert.throws(() => plan(changes), { code: Code.InvalidArgument, message });
  });
}
