import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidSpec, type LinuxResources } from "@trimaran/linux";
import { Code } from "ttrpc-ts";
import { QmpError } from "../qemu/qmp.ts";
import { plugDisk } from "./disks.ts";

/** A QEMU that knows disks by their names, and refuses what `refused` says. */
function machine(refused = "") {
  const disks = new Set<string>();
  const rules: unknown[] = [];
  const execute = async (command: string, parameters: Readonly<Record<string, unknown>> = {}): Promise<unknown> => {
    if (command === "qom-list") return [{ name: "type" }, { name: "disks" }, ...[...disks].map((name) => ({ name }))];
    if (command === refused || command === "blockdev-del") throw new QmpError(command, "GenericError", "no\nway");
    if (command === "device_add") disks.add(String(parameters.id));
    return {};
  };
  const cgroup = { update: ({ devices }: LinuxResources) => void rules.push(devices) };
  return { qmp: { execute }, cgroup, disks, rules };
}
const shown = async (path: string) => `/shown${path}`;
const disk = (minor: number, access: string, isReadOnly = false) => {
  const wanted = { list: "devices", index: 0, field: "linux.devices[0]", major: 7, minor, access } as const;
  return [wanted, { major: 7, minor, path: `/dev/loop${minor}`, isReadOnly, sectorBytes: 512 }] as const;
};

test("disks get the lowest free numbers; the same one again is found, and may be used for less", async () => {
  const { qmp, cgroup, disks, rules } = machine();
  const plug = (...args: Parameters<typeof disk>) => plugDisk(qmp, cgroup, shown, ...disk(...args));
  assert.deepEqual([await plug(3, "rw"), await plug(4, "r"), await plug(5, "rw", true)], [0, 1, 2]);
  assert.deepEqual([...disks], ["disk-0-7-3-rw", "disk-1-7-4-r", "disk-2-7-5-r"]);
  assert.deepEqual([await plug(3, "rw"), await plug(3, "r"), await plug(3, ""), await plug(4, "r")], [0, 0, 0, 1]);
  disks.delete("disk-1-7-4-r");
  assert.equal(await plug(6, ""), 1);
  const allowed = [
    { allow: true, type: "c", major: 10, minor: 232, access: "rw" },
    { allow: true, type: "b", major: 7, minor: 3, access: "rw" },
    { allow: true, type: "b", major: 7, minor: 4, access: "r" },
  ];
  assert.deepEqual(rules[1], allowed, "QEMU may open /dev/kvm and the pod's disks");
  await assert.rejects(
    plug(5, "rw").then(() => plug(6, "rw")),
    (error) => error instanceof InvalidSpec && /another container of the pod has it read-only/.test(error.message),
  );
});

test("what QEMU refuses is an error that names the field and the device", async () => {
  for (const command of ["blockdev-add", "device_add"]) {
    const { qmp, cgroup } = machine(command);
    const message = new RegExp(`^linux\\.devices\\[0\\]: /dev/loop3: qmp ${command}: no`);
    await assert.rejects(plugDisk(qmp, cgroup, shown, ...disk(3, "rw")), { code: Code.Unavailable, message });
  }
});

test("no more than 256", async () => {
  const { qmp, cgroup, disks } = machine();
  for (let lun = 0; lun < 256; lun++) disks.add(`disk-${lun}-8-${lun}-rw`);
  await assert.rejects(plugDisk(qmp, cgroup, shown, ...disk(1, "rw")), /has 256 disks already/);
});
