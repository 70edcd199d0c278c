import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { ANY, runtimeoptions } from "@trimaran/proto";
import { Code } from "ttrpc-ts";
import { clockFrequencyKhz } from "../qemu/clock-frequency.ts";
import { parseConfig } from "./config.ts";
import { IGNORED, KEYS } from "./keys.ts";
import { machineShape } from "./machine-shape.ts";

const directory = mkdtempSync(join(tmpdir(), "kata-config-"));
after(() => rmSync(directory, { recursive: true }));
function file(name: string, text: string): string {
  const path = join(directory, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  return path;
}
function options(fields: { configPath?: string; configBody?: string; typeUrl?: string }) {
  const configBody = Buffer.from(fields.configBody ?? "");
  return [{ typeUrl: ANY.runtimeOptions, value: runtimeoptions.v1.Options.encode({ ...fields, configBody }) }];
}
const parse = (toml: string, annotations: Record<string, string> = {}) =>
  parseConfig(options({ configBody: toml }), annotations, []);
const prefix = "io.katacontainers.config";

test("without a file everything has its default", () => {
  const config = parseConfig([], {}, ["/none"]);
  assert.deepEqual([config.vcpus, config.memoryMiB, config.accelerator], [1, 512, "auto"]);
  assert.deepEqual([config.template.enabled, config.debugConsole, config.ownImage], [true, true, undefined]);
});

test("Kata's names, in a file or a body; keys of Kata's that mean nothing here are accepted", () => {
  const toml = `[hypervisor.qemu]\nmachine_type = "q35"\ndefault_memory = 256\n[factory]\nenable_template = false\n`;
  for (const option of [options({ configBody: toml }), options({ configPath: file("kata.toml", toml) })]) {
    const config = parseConfig(option, {}, []);
    assert.deepEqual([config.memoryMiB, config.template.enabled], [256, false]);
  }
  assert.equal(parseConfig([], {}, ["/none", file("default.toml", toml)]).memoryMiB, 256);
});

test("annotations go over the file, where the operator allows them", () => {
  const config = parse("[hypervisor.qemu]\ndefault_memory = 300\n", {
    [`${prefix}.hypervisor.default_memory`]: "400",
    [`${prefix}.runtime.disable_guest_seccomp`]: "true", // means nothing here
    [`${prefix}.agent.debug_console_enabled`]: "false",
    "another.org/annotation": "x",
  });
  assert.deepEqual([config.memoryMiB, config.debugConsole], [400, false]);
  assert.equal(
    config.settings.get("hypervisor.qemu.default_memory")?.source,
    `annotation ${prefix}.hypervisor.default_memory`,
  );
});

test("processors: below 0 are the host's, 0 is one, and the maximum holds", () => {
  const vcpus = (toml: string) => parse(`[hypervisor.qemu]\n${toml}\n`).vcpus;
  assert.equal(vcpus("default_vcpus = -1"), availableParallelism());
  assert.equal(vcpus("default_vcpus = 0"), 1);
  assert.equal(vcpus("default_vcpus = 200\ndefault_maxvcpus = 3"), 3);
});

for (const [what, toml, message] of [
  [
    "a misspelt key",
    "[hypervisor.qemu]\ndefault_vcpu = 1",
    'options: "hypervisor.qemu.default_vcpu" is unknown; "hypervisor.qemu.default_vcpus"?',
  ],
  ["a key that is like none", "[factory]\nxyzzy = 1", 'options: "factory.xyzzy" is unknown'],
  [
    "a key outside its table",
    "default_memory = 5",
    'options: "default_memory" is unknown; "hypervisor.qemu.default_memory"?',
  ],
  ["a name that every object has", "constructor = 5", 'options: "constructor" is unknown'],
  ["another hypervisor", "[hypervisor.clh]\npath = '/x'", /\[hypervisor\.clh\] is unknown; tables are/],
  ["no TOML", "a = = b", /options: no TOML/],
  ["a text as a number", "[hypervisor.qemu]\ndefault_memory = '1G'", /default_memory: "1G" is no whole number/],
  ["a relative path", "[hypervisor.qemu]\nkernel = 'vmlinux'", /kernel: "vmlinux" is no absolute path/],
  ["too little memory", "[hypervisor.qemu]\ndefault_memory = 64", /default_memory: 64 is not 128 to/],
  [
    "Kata's virtio-fs",
    "[hypervisor.qemu]\nshared_fs = 'virtio-fs'",
    /shared_fs: "virtio-fs" is not one of virtio-serial/,
  ],
  ["a kernel alone", "[hypervisor.qemu]\nkernel = '/k'", /kernel, initrd and image go together/],
  [
    "a pattern that is none",
    "[hypervisor.qemu]\nenable_annotations = ['(']",
    /enable_annotations: "\(" is no regular expression/,
  ],
] as const) {
  test(`${what} is InvalidArgument`, () => assert.throws(() => parse(toml), { code: Code.InvalidArgument, message }));
}

for (const [what, annotations, message] of [
  [
    "that is misspelt",
    { [`${prefix}.hypervisor.default_memry`]: "1" },
    /is unknown; "hypervisor\.qemu\.default_memory"\?/,
  ],
  ["that is not allowed", { [`${prefix}.hypervisor.default_maxvcpus`]: "1" }, /may not be set/],
  ["with a path", { [`${prefix}.hypervisor.path`]: "/tmp/x" }, /may not be set/],
  [
    "without a number",
    { [`${prefix}.hypervisor.default_memory`]: "much" },
    /default_memory: "much" is no whole number/,
  ],
] as const) {
  test(`an annotation ${what} is InvalidArgument`, () => {
    const toml = what === "with a path" ? "[hypervisor.qemu]\nenable_annotations = ['.*']" : "";
    assert.throws(() => parse(toml, annotations), { code: Code.InvalidArgument, message });
  });
}

test("a file that is missing, and an option of another shim", () => {
  const check = (option: Parameters<typeof parseConfig>[0], message: RegExp) =>
    assert.throws(() => parseConfig(option, {}, []), { code: Code.InvalidArgument, message });
  check(options({ configPath: "/none.toml" }), /ConfigPath \/none\.toml: can't be read/);
  check(options({ typeUrl: "x.y", configPath: "/z" }), /TypeUrl: "x\.y" is not one/);
  check([{ typeUrl: "x.Y", value: Buffer.from("a") }], /type "x\.Y" is not one/);
});

test("every key has a help text, and none means two things", () => {
  for (const [key, { help }] of Object.entries(KEYS)) assert.ok(help.length > 5 && IGNORED[key] === undefined, key);
});

test("a pod's limits come on top, in few sizes", () => {
  const config = parse("[hypervisor.qemu]\ndefault_memory = 512\ndefault_maxmemory = 2048\ndefault_maxvcpus = 4\n");
  const shape = (cpus: number, memoryMiB: number) => {
    const { vcpus, memoryMiB: size } = machineShape(
      config,
      { cpus, memoryBytes: BigInt(memoryMiB) * 2n ** 20n },
      "tcg",
    );
    return [vcpus, size];
  };
  assert.deepEqual(
    [shape(0, 0), shape(0.5, 1), shape(9, 257)],
    [
      [1, 512],
      [2, 768],
      [4, 1024],
    ],
  );
  assert.throws(() => shape(0, 1600), {
    code: Code.InvalidArgument,
    message: /memory\.limit: 1600 MiB .* default_maxmemory, 2048/,
  });
});

test("the counter's frequency: rated, in the model's name, or of a machine that has one frequency only", () => {
  const root = (name: string, files: Record<string, string>) => {
    for (const [path, text] of Object.entries(files)) file(`${name}/${path}`, text);
    return `${join(directory, name)}/`;
  };
  const cpufreq = "sys/devices/system/cpu/cpu0/cpufreq";
  const cpuinfo = "model name\t: Some CPU\ncpu MHz\t\t: 2600.123\n";
  assert.equal(clockFrequencyKhz(root("rated", { [`${cpufreq}/base_frequency`]: "2100000\n" })), 2100000);
  assert.equal(
    clockFrequencyKhz(root("named", { "proc/cpuinfo": "model name\t: X @ 3.20GHz\ncpu MHz : 800\n" })),
    3200000,
  );
  assert.equal(clockFrequencyKhz(root("virtual", { "proc/cpuinfo": cpuinfo })), 2600123);
  assert.equal(
    clockFrequencyKhz(root("changing", { "proc/cpuinfo": cpuinfo, [`${cpufreq}/scaling_driver`]: "x" })),
    undefined,
  );
});
