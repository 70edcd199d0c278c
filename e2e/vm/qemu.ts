import { type ChildProcess, spawn } from "node:child_process";

/** Everything that QEMU is told. Paths are relative to `folder`, where it runs. */
export interface QemuOptions {
  readonly folder: string;
  readonly kernel: string;
  readonly initramfs: string;
  /** A virtiofsd's socket; its tag in the guest is `host`. */
  readonly shareSocket: string;
  /** A raw image: /dev/vda. */
  readonly disk: string;
  /** Gets the kernel's messages. */
  readonly console: string;
  /** The port whose bytes are QEMU's stdout, and the one whose bytes go to the file `result`. */
  readonly outputPort: string;
  readonly resultPort: string;
  readonly memoryMib: number;
  readonly kernelArgs: readonly string[];
}

/**
 * Start QEMU with a machine that ends when its guest reboots. Emulated (tcg), never KVM: an ordinary guest does not boot on every
 * /dev/kvm that there is, and a test must not behave differently where it does. It dies with this process.
 */
export function startQemu(options: QemuOptions): ChildProcess {
  const argv = ["--pdeathsig", "KILL", program(), ...machineArgs(options), ...deviceArgs(options)];
  // stdin stays open: at its end the port of stdout would count as closed, and the guest's writes would wait for ever.
  return spawn("setpriv", argv, { cwd: options.folder, stdio: ["pipe", "pipe", "pipe"], detached: true });
}

function program(): string {
  return process.arch === "arm64" ? "qemu-system-aarch64" : "qemu-system-x86_64";
}

function machineArgs(options: QemuOptions): string[] {
  const [machine, console, cpus] =
    process.arch === "arm64" ? ["virt", "ttyAMA0", "2"] : ["q35", "ttyS0", "2,sockets=1,cores=1,threads=2"]; // core scheduling wants siblings
  const kernelArgs = [`console=${console}`, "reboot=t", "panic=-1", "mitigations=off", "tsc=reliable"];
  return [
    ...["-M", `${machine},memory-backend=memory`, "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", cpus],
    ...["-m", `${options.memoryMib}M`, "-object", `memory-backend-memfd,id=memory,size=${options.memoryMib}M,share=on`],
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-kernel", options.kernel, "-initrd", options.initramfs, "-append"],
    [...kernelArgs, "quiet", ...options.kernelArgs].join(" "),
  ];
}

function deviceArgs(options: QemuOptions): string[] {
  return [
    ...["-serial", `file:${options.console}`],
    ...["-chardev", `socket,id=share,path=${options.shareSocket}`],
    ...["-device", "vhost-user-fs-pci,chardev=share,tag=host,queue-size=1024"],
    ...["-device", "virtio-serial-pci"],
    ...["-chardev", "stdio,id=output,signal=off"],
    ...["-device", `virtserialport,chardev=output,name=${options.outputPort}`],
    ...["-chardev", "file,id=result,path=result"],
    ...["-device", `virtserialport,chardev=result,name=${options.resultPort}`],
    ...["-drive", `id=disk,if=none,format=raw,file=${options.disk}`, "-device", "virtio-blk-pci,drive=disk"],
  ];
}
