import { join } from "node:path";
import { Code, StatusError } from "ttrpc-ts";
import type { GuestImage } from "../image/ensure.ts";
import type { QemuBinary } from "./binary.ts";
import { kernelCommandLine } from "./kernel-command-line.ts";

/** What runs the guest's instructions: the processor, or QEMU's translator. */
export type Accelerator = "kvm" | "tcg";

/** Whose memory a machine runs in. A template's is a file that it writes; a clone has the same file, and keeps what it changes for itself. */
export type GuestMemory =
  | { readonly kind: "own" }
  | { readonly kind: "template"; readonly path: string }
  | { readonly kind: "clone"; readonly path: string };

/** What the guest's one network device is connected to. */
export type NetworkBackend =
  | { readonly kind: "none" }
  /** A tap device that exists in QEMU's network namespace. */
  | { readonly kind: "tap"; readonly name: string }
  /** The same, already open as this file descriptor of QEMU's. */
  | { readonly kind: "tap-fd"; readonly fd: number };

/** The shape of a machine: equal shapes may be clones of one template. */
export interface MachineShape {
  readonly accelerator: Accelerator;
  /** 1 to 240. */
  readonly vcpus: number;
  /** In MiB, 128 at least. */
  readonly memoryMiB: number;
  /** Added to the kernel's command line. */
  readonly kernelParams: string;
  /** The kernel says more on its console. */
  readonly debug: boolean;
  /** There is a port debug.0, and in the guest a shell behind it. */
  readonly debugConsole: boolean;
  /** See `clockFrequencyKhz`. */
  readonly clockKhz: number | undefined;
}

/** One machine to start. */
export interface VmRequest {
  readonly qemu: Pick<QemuBinary, "path" | "version">;
  readonly image: GuestImage;
  readonly shape: MachineShape;
  /** A folder of the machine's own: sockets and the console's log go there. At most 90 bytes long, or sockets have no room. */
  readonly directory: string;
  readonly memory: GuestMemory;
  readonly network: NetworkBackend;
  /** A listening socket that the port fs.0 is connected to. Undefined: QEMU itself listens at `VmPaths.fs`, and nobody need come. */
  readonly fsSocket?: string;
}

/** Where a machine is reached. All of them are QEMU's own listening sockets, but for the console, which is a file. */
export interface VmPaths {
  readonly qmp: string;
  /** The port agent.0. */
  readonly agent: string;
  /** The port exec.0. */
  readonly exec: string;
  /** The port fs.0. */
  readonly fs: string;
  /** The port debug.0. */
  readonly debug: string;
  readonly console: string;
}

/** A machine as pure data: run `argv`, with nothing but standard streams open, in a `directory` that exists. */
export interface VmPlan {
  readonly argv: readonly string[];
  readonly directory: string;
  /**
   * RLIMIT_FSIZE for QEMU, which must ignore SIGXFSZ: a guest can write to its console without end. What is beyond is lost; a panic's words,
   * too, then.
   */
  readonly fileLimitBytes: number;
  readonly paths: VmPaths;
  /** Paths of the host that it opens or connects to, besides the program's own. */
  readonly files: { readonly readOnly: readonly string[]; readonly writable: readonly string[] };
  /** Whether the machine waits for a template's state: see `resumeClone`. */
  readonly isClone: boolean;
  /** Whether QEMU translates: then its own memory is a great part of a pod's. */
  readonly isEmulated: boolean;
}

/** The id of the controller that disks of the pod are plugged into, while the guest runs: a template has the controller, and no disk. */
export const DISK_BUS = "disks";
/** Ports of the guest: name to what is behind it on the host. */
const PORTS = ["agent", "exec", "fs", "debug"] as const;
const CONSOLE_LIMIT_BYTES = 4 * 1024 * 1024;
const SOCKET_LIMIT_BYTES = 107;
/**
 * What QEMU keeps of translated code, all of it private to a machine: when that is full it begins anew. Without a bound a pod that has run ten execs has 96 MiB
 * of it. This is memory for time: with 24, 28, 32, 40 a start takes 1261, 1096, 936, 710 ms, and a further pod costs 55, 59, 65, 71 MiB (huge pages allowed).
 */
const TRANSLATIONS_MIB = 28;
/** QEMU is denied what it has no use for: old calls, new privileges, children, priorities of others. */
const SANDBOX = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/** Compile a request to QEMU's command line. Throws InvalidArgument naming the field that is out of bounds. */
export function planVm(request: VmRequest): VmPlan {
  const { qemu, image, shape, directory, memory, network } = request;
  check(request);
  const paths = vmPaths(directory);
  const isClone = memory.kind === "clone";
  const argv = [
    qemu.path,
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...machine(shape),
    ...memoryBackend(memory, shape.memoryMiB, qemu.version),
    ...["-kernel", image.kernel, "-initrd", image.initrd, "-append", kernelCommandLine(shape)],
    ...["-serial", `file:${escapeCommas(paths.console)}`],
    ...["-drive", `if=none,id=image,format=raw,readonly=on,file=${escapeCommas(image.disk)}`],
    ...["-device", "virtio-blk-device,drive=image"],
    ...["-device", "virtio-rng-device"],
    ...networkDevice(network),
    ...["-device", `virtio-scsi-device,id=${DISK_BUS}`],
    ...["-device", "virtio-serial-device,id=ports"],
    ...PORTS.filter((name) => name !== "debug" || shape.debugConsole).flatMap((name) =>
      port(name, paths[name], name === "fs" ? request.fsSocket : undefined),
    ),
    ...["-qmp", `unix:${escapeCommas(paths.qmp)},server=on,wait=off`],
    ...["-sandbox", SANDBOX],
    ...(isClone ? ["-incoming", "defer", "-S"] : []),
  ];
  const fileLimitBytes = memory.kind === "template" ? shape.memoryMiB * 2 ** 20 : CONSOLE_LIMIT_BYTES;
  return {
    argv,
    directory,
    paths,
    fileLimitBytes,
    files: filesOf(request),
    isClone,
    isEmulated: shape.accelerator === "tcg",
  };
}

function filesOf({ image, directory, memory, fsSocket, qemu }: VmRequest): VmPlan["files"] {
  const template = memory.kind === "clone" ? [memory.path] : [];
  const isReadOnly = opensForReading(qemu.version);
  return {
    readOnly: [
      image.kernel,
      image.initrd,
      image.disk,
      ...(fsSocket === undefined ? [] : [fsSocket]),
      ...(isReadOnly ? template : []),
    ],
    writable: [directory, ...(isReadOnly ? [] : template)],
  };
}

/** Where a machine in `directory` is reached. */
export function vmPaths(directory: string): VmPaths {
  const path = (name: string) => join(directory, name);
  return {
    qmp: path("qmp.sock"),
    agent: path("agent.sock"),
    exec: path("exec.sock"),
    fs: path("fs.sock"),
    debug: path("debug.sock"),
    console: path("console.log"),
  };
}

function machine({ accelerator, vcpus }: MachineShape): string[] {
  const engine = accelerator === "kvm" ? "kvm" : `tcg,thread=multi,tb-size=${TRANSLATIONS_MIB}`;
  const cpu = accelerator === "kvm" ? "host" : "max"; // max runs Node a third faster than qemu64
  // Without the clock a guest can hang while it looks for one.
  const type = "microvm,rtc=on,memory-backend=ram";
  return ["-M", type, "-accel", engine, "-cpu", cpu, "-smp", `${vcpus}`, "-global", "virtio-mmio.force-legacy=false"];
}

function memoryBackend(memory: GuestMemory, sizeMiB: number, version: string): string[] {
  const common = `id=ram,size=${sizeMiB}M`;
  const size = ["-m", `${sizeMiB}M`];
  if (memory.kind === "own") return ["-object", `memory-backend-ram,${common}`, ...size];
  const share = memory.kind === "template" ? "share=on" : cloneSharing(version);
  return ["-object", `memory-backend-file,${common},mem-path=${escapeCommas(memory.path)},${share}`, ...size];
}

/** Since 8.2 QEMU can open the template's file for reading only: who breaks out of a guest then has no descriptor to change it for others. */
function opensForReading(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > 8 || (major === 8 && minor >= 2);
}

function cloneSharing(version: string): string {
  return opensForReading(version) ? "share=off,readonly=on,rom=off" : "share=off";
}

function networkDevice(network: NetworkBackend): string[] {
  const backend = {
    none: () => "hubport,id=net,hubid=0", // a hub with nothing else in it
    tap: (name: string) => `tap,id=net,ifname=${name},script=no,downscript=no,vnet_hdr=off`,
    "tap-fd": (fd: number) => `tap,id=net,fd=${fd}`,
  };
  const netdev =
    network.kind === "none"
      ? backend.none()
      : network.kind === "tap"
        ? backend.tap(network.name)
        : backend["tap-fd"](network.fd);
  return ["-netdev", netdev, "-device", "virtio-net-device,netdev=net"];
}

function port(name: string, path: string, connectTo: string | undefined): string[] {
  const where =
    connectTo === undefined ? `path=${escapeCommas(path)},server=on,wait=off` : `path=${escapeCommas(connectTo)}`;
  const backend = `socket,id=${name},${where}`;
  return ["-chardev", backend, "-device", `virtserialport,bus=ports.0,chardev=${name},name=${name}.0`];
}

function check({ shape: { vcpus, memoryMiB }, directory, network }: VmRequest): void {
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > 240) throw invalid(`vcpus: ${vcpus} is not 1 to 240`);
  if (!Number.isInteger(memoryMiB) || memoryMiB < 128) throw invalid(`memory: ${memoryMiB} MiB is less than 128`);
  for (const path of Object.values(vmPaths(directory)))
    if (Buffer.byteLength(path) > SOCKET_LIMIT_BYTES)
      throw invalid(`directory ${directory}: too long for sockets in it`);
  if (network.kind === "tap" && !/^[^\s/,]{1,15}$/.test(network.name))
    throw invalid(`network: ${JSON.stringify(network.name)} is no name of a tap device`);
}

/** QEMU's options are separated by commas; a comma in a value is doubled. */
function escapeCommas(value: string): string {
  return value.replaceAll(",", ",,");
}

function invalid(message: string): StatusError {
  return new StatusError(Code.InvalidArgument, message);
}
