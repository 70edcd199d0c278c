import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { lazyNative } from "@trimaran/linux";
import type { trimaran } from "@trimaran/proto";
import { Code, StatusError } from "ttrpc-ts";
import { findDisk } from "./disk.ts";
import { type Details, type Guest, readDetails } from "./guest.ts";
import { configureNetwork } from "./network.ts";
import { Share } from "./share.ts";

// linux/random.h, linux/time.h
const RNDADDENTROPY = 0x40085203;
const RNDRESEEDCRNG = 0x5207;
const CLOCK_REALTIME = 0;
const ENTROPY_LIMIT_BYTES = 512;
const HOST_NAME_LIMIT_BYTES = 64;
/** The image is read-only: our own is mounted over its. */
const MACHINE_ID = { own: "/run/machine-id", image: "/etc/machine-id" } as const;
const MS_BIND = 4096;
/** Of x86-64 (asm/unistd_64.h): the guest is one. */
const SYS_SYNC = 162;

const native = lazyNative();

/** The machine of a guest: everything in it is the agent's. */
export class Machine implements Guest {
  readonly #end: () => void;
  readonly #share: Share;
  readonly #sync = native.library("libc.so.6").later("long syscall(long)");

  /** `libraryDirectory`: where the image has our programs. `end`: ends the agent; process 1 ends the machine then. */
  constructor(libraryDirectory: string, end: () => void) {
    this.#end = end;
    this.#share = new Share(libraryDirectory);
  }

  async refresh({ entropy, wallClockNs, hostname, machineId }: trimaran.agent.v1.RefreshRequest): Promise<void> {
    if (entropy.length > 0) addEntropy(entropy);
    if (wallClockNs > 0n) setClock(wallClockNs);
    if (hostname !== "") setHostName(hostname);
    if (machineId !== "") setMachineId(machineId);
  }

  mountShare(target: string, ahead: boolean): Promise<void> {
    return this.#share.mount(target, ahead);
  }

  forgetFiles(path: string): Promise<void> {
    return this.#share.forget(path);
  }

  async configureNetwork(request: trimaran.agent.v1.ConfigureNetworkRequest): Promise<void> {
    await configureNetwork(request);
    for (const [file, value] of Object.entries(request.sysctls)) writeSysctl(file, value);
    if (request.resolvConf !== "") writeFileSync("/run/resolv.conf", request.resolvConf);
  }

  findDisk(lun: number): Promise<trimaran.agent.v1.FindDiskResponse> {
    return findDisk(lun);
  }

  /** sync(2) takes as long as the host does: so a thread does it. A child would do, too, and cost an emulated guest more than all else of a container's end. */
  async flush(): Promise<void> {
    await this.#sync(SYS_SYNC);
  }

  powerOff(): void {
    this.#end();
  }

  details(): Details {
    return readDetails([process.pid, ...childrenOf(process.pid)]);
  }
}

/** Throws InvalidArgument for what is not the network's, or what this kernel refuses. */
function writeSysctl(file: string, value: string): void {
  const field = `sysctls ${JSON.stringify(file)}`;
  if (!/^net\/[^\0]+$/.test(file) || file.split("/").includes(".."))
    throw new StatusError(Code.InvalidArgument, `${field}: not a file of the network's`);
  try {
    writeFileSync(`/proc/sys/${file}`, value);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new StatusError(
      Code.InvalidArgument,
      `${field}: the guest's kernel refuses ${JSON.stringify(value)} (${why})`,
    );
  }
}

/** Mixed into the kernel's pool and credited: two clones of a template must not have the same random numbers. Source: random(4). */
function addEntropy(entropy: Uint8Array): void {
  if (entropy.length > ENTROPY_LIMIT_BYTES)
    throw new StatusError(Code.InvalidArgument, `entropy: ${entropy.length} bytes, not at most ${ENTROPY_LIMIT_BYTES}`);
  const request = Buffer.alloc(8 + entropy.length); // struct rand_pool_info: bits, bytes, the bytes
  request.writeInt32LE(entropy.length * 8, 0);
  request.writeInt32LE(entropy.length, 4);
  request.set(entropy, 8);
  const random = openRandom();
  try {
    native.check("ioctl", [random.fd, RNDADDENTROPY, request], "/dev/urandom");
    // Without this the kernel takes the new entropy up to a minute later, and until then clones of a template draw the same numbers.
    native.check("ioctl", [random.fd, RNDRESEEDCRNG, 0], "/dev/urandom");
  } finally {
    random[Symbol.dispose]();
  }
}

function openRandom(): Disposable & { readonly fd: number } {
  const AT_FDCWD = -100;
  const O_WRONLY = 1;
  const O_CLOEXEC = 0o2000000;
  const path = "/dev/urandom";
  const fd = native.check("openat", [AT_FDCWD, Buffer.from(`${path}\0`), O_WRONLY | O_CLOEXEC, 0], path);
  return { fd, [Symbol.dispose]: () => void native.syscall("close", fd) };
}

function setClock(wallClockNs: bigint): void {
  const time = Buffer.alloc(16); // struct timespec
  time.writeBigInt64LE(wallClockNs / 1_000_000_000n, 0);
  time.writeBigInt64LE(wallClockNs % 1_000_000_000n, 8);
  native.check("clock_settime", [CLOCK_REALTIME, time]);
}

function setHostName(hostname: string): void {
  const bytes = Buffer.from(hostname);
  if (bytes.length > HOST_NAME_LIMIT_BYTES || bytes.includes(0))
    throw new StatusError(
      Code.InvalidArgument,
      `hostname: ${bytes.length} bytes, not at most ${HOST_NAME_LIMIT_BYTES}, or with a NUL`,
    );
  native.check("sethostname", [bytes, bytes.length]);
}

function setMachineId(machineId: string): void {
  if (!/^[0-9a-f]{32}$/.test(machineId))
    throw new StatusError(Code.InvalidArgument, `machine_id ${JSON.stringify(machineId)}: not 32 hex digits`);
  const isMounted = existsSync(MACHINE_ID.own);
  writeFileSync(MACHINE_ID.own, `${machineId}\n`);
  if (isMounted) return;
  const [own, image] = [MACHINE_ID.own, MACHINE_ID.image].map((path) => Buffer.from(`${path}\0`));
  native.check("mount", [own ?? null, image ?? null, null, MS_BIND, null], MACHINE_ID.image);
}

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
}
