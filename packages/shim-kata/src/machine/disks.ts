import { type Cgroup, InvalidSpec, type LinuxResources } from "@trimaran/linux";
import { Code, StatusError } from "ttrpc-ts";
import { DISK_BUS } from "../qemu/plan.ts";
import { type Qmp, QmpError } from "../qemu/qmp.ts";
import { type DeviceNumber, findHostDisk, type HostDisk, type WantedDisk } from "../storage/disks.ts";

/** Numbers that every driver writes the same way. */
const LUNS = 256;
/** All that is known of the disks of a machine is their names, in QEMU: `disk-LUN-MAJOR-MINOR-ACCESS`. */
const NAME = /^disk-(\d+)-(\d+)-(\d+)-(r|rw)$/;

/** /dev/kvm's. Source: Linux's Documentation/admin-guide/devices.txt. */
const KVM: DeviceNumber = { major: 10, minor: 232 };

type Control = Pick<Qmp, "execute">;
/** Makes a device of the host's be there for QEMU, which sees few files; `name` is new. The result is where it finds it. */
type Show = (path: string, name: string) => Promise<string>;
type DeviceRules = NonNullable<LinuxResources["devices"]>;

interface PluggedDisk extends DeviceNumber {
  readonly lun: number;
  readonly access: string;
}

/** Devices that a machine's cgroup is to allow: what every process may use, /dev/kvm, and the pod's disks. */
export function deviceRules(disks: readonly Pick<PluggedDisk, "major" | "minor" | "access">[]): DeviceRules {
  const allow = (type: "b" | "c", { major, minor }: DeviceNumber, access: string) => ({
    ...({ allow: true, type, access } as const),
    ...{ major, minor },
  });
  return [allow("c", KVM, "rw"), ...disks.map((disk) => allow("b", disk, disk.access))];
}

/**
 * Put a block device of the host's into a running machine, or find it there; the result is its number on the guest's SCSI bus. It stays as long as the machine: containers of
 * a pod have one disk of a device, as its guest's kernel has one cache for it. `cgroup`: of the machine; `show`: gives it the node. Throws InvalidSpec where the host has no such device, or the
 * pod has it read-only; Unavailable with QEMU's reason.
 */
export async function plugDisk(
  qmp: Control,
  cgroup: Pick<Cgroup, "update">,
  show: Show,
  wanted: WantedDisk,
  host: HostDisk = findHostDisk(wanted),
): Promise<number> {
  const access = host.isReadOnly || !wanted.access.includes("w") ? "r" : "rw";
  const present = await listDisks(qmp);
  const same = present.find(({ major, minor }) => major === host.major && minor === host.minor);
  if (same?.access.includes(access)) return same.lun;
  if (same) throw new InvalidSpec(wanted.field, "another container of the pod has it read-only", host.path);
  const lun = Array.from({ length: LUNS }, (_, n) => n).find((n) => present.every((disk) => disk.lun !== n));
  if (lun === undefined) throw new InvalidSpec(wanted.field, `the pod has ${LUNS} disks already`, host.path);
  cgroup.update({ devices: deviceRules([...present, { ...host, access }]) });
  try {
    await plug(qmp, show, host, access, lun);
    return lun;
  } catch (error) {
    if (!(error instanceof QmpError)) throw error;
    throw new StatusError(Code.Unavailable, `${wanted.field}: ${host.path}: ${error.message}`, { cause: error });
  }
}

async function plug(
  qmp: Control,
  show: Show,
  { path, major, minor, sectorBytes }: HostDisk,
  access: string,
  lun: number,
): Promise<void> {
  const name = `disk-${lun}-${major}-${minor}-${access}`;
  await qmp.execute("blockdev-del", { "node-name": name }).catch(ignoreRefusal); // of an attempt that was cut short
  const backend = { driver: "host_device", filename: await show(path, name), "read-only": access === "r" };
  await qmp.execute("blockdev-add", { ...backend, "node-name": name });
  const place = { bus: `${DISK_BUS}.0`, "scsi-id": 0, lun };
  const size = { logical_block_size: sectorBytes, physical_block_size: sectorBytes };
  await qmp.execute("device_add", { driver: "scsi-hd", id: name, drive: name, ...place, ...size });
}

async function listDisks(qmp: Control): Promise<readonly PluggedDisk[]> {
  const devices = await qmp.execute("qom-list", { path: "/machine/peripheral" });
  if (!Array.isArray(devices)) throw new StatusError(Code.Unavailable, "qmp qom-list: the answer is no list");
  return devices.flatMap((device: { readonly name?: unknown } | null) => {
    const match = NAME.exec(String(device?.name));
    if (!match) return [];
    const [, lun, major, minor, access = ""] = match;
    return [{ lun: Number(lun), major: Number(major), minor: Number(minor), access }];
  });
}

function ignoreRefusal(error: unknown): void {
  if (!(error instanceof QmpError)) throw error;
}
