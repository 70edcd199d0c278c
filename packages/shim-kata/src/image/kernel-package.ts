import { globSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { withMachineLock } from "../machine-lock.ts";
import { runProgram } from "../run-program.ts";
import { imageFailure } from "./failure.ts";

/** Where kernels are kept. */
export const DEFAULT_KERNEL_DIRECTORY = "/var/cache/trimaran/kata/kernels";

/** A kernel of Debian's, unpacked and not installed. */
export interface KernelPackage {
  /** Debian's package and its version: `linux-image-6.1.0-56-cloud-amd64 6.1.192-2`. */
  readonly name: string;
  /** As `uname -r` says it. */
  readonly release: string;
  /** The bzImage. */
  readonly image: string;
  /** `lib/modules/RELEASE` of the package. */
  readonly modules: string;
}

const META_PACKAGE = `linux-image-cloud-${process.arch === "arm64" ? "arm64" : "amd64"}`;
const COMPLETE = "package";

/** How a kernel may be had. */
export interface KernelOptions {
  /** Default: `DEFAULT_KERNEL_DIRECTORY`. */
  readonly directory?: string;
  /** `never`: one that is not there is an error; `missing`: it is downloaded (26 MB); `newer`: what the mirror has now is used. */
  readonly download: "never" | "missing" | "newer";
  readonly signal: AbortSignal;
}

/** A kernel for guests. One process at a time downloads, others wait for it. Throws FailedPrecondition with the command that helps. */
export async function ensureKernel({ download, signal, ...options }: KernelOptions): Promise<KernelPackage> {
  const directory = options.directory ?? DEFAULT_KERNEL_DIRECTORY;
  const present = () => (download === "newer" ? undefined : findKernel(directory));
  const found = present();
  if (found) return found;
  if (download === "never") throw imageFailure(directory, "no kernel was downloaded yet");
  return await withMachineLock(
    `kernel ${directory}`,
    signal,
    async () => present() ?? (await downloadKernel(directory)),
  );
}

/** The kernel that was unpacked last below `directory`; undefined where there is none. */
function findKernel(directory: string): KernelPackage | undefined {
  const found = globSync(`*/${COMPLETE}`, { cwd: directory }).map((path) => path.slice(0, -COMPLETE.length - 1));
  const newest = found.sort((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1);
  return newest === undefined ? undefined : readKernel(join(directory, newest));
}

/**
 * Download the kernel that Debian's mirror has now and unpack it below `directory`, whole or not at all; nothing is installed. Older ones go.
 * Throws FailedPrecondition with apt's words.
 */
async function downloadKernel(directory: string): Promise<KernelPackage> {
  const work = join(directory, ".new"); // the caller holds the lock
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true, mode: 0o700 });
  try {
    const name = await resolvePackage();
    await runProgram(["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name], { cwd: work });
    const [file] = readdirSync(work).filter((each) => each.endsWith(".deb"));
    if (file === undefined) throw new Error(`apt-get download ${name} left no file`);
    const [, version = ""] = file.split("_");
    await runProgram(["dpkg", "-x", join(work, file), join(work, "tree")]);
    for (const unneeded of ["usr", "etc", "boot/System.map", "boot/config"])
      for (const path of globSync(`${unneeded}*`, { cwd: join(work, "tree") }))
        rmSync(join(work, "tree", path), { recursive: true });
    writeFileSync(join(work, "tree", COMPLETE), `${name} ${decodeURIComponent(version)}\n`);
    const target = join(directory, file.slice(0, -".deb".length));
    rmSync(target, { recursive: true, force: true });
    renameSync(join(work, "tree"), target);
    const others = readdirSync(directory).filter((each) => join(directory, each) !== target);
    for (const each of others) rmSync(join(directory, each), { recursive: true, force: true });
    return readKernel(target);
  } catch (error) {
    throw imageFailure("the kernel", error, "see that apt-get update works, then trimaran kata image build");
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** What the meta package depends on; where apt's lists know none they are fetched once. */
async function resolvePackage(): Promise<string> {
  for (const refresh of [false, true]) {
    if (refresh) await runProgram(["apt-get", "-q", "update"]);
    const text = await runProgram(["apt-cache", "depends", "--important", META_PACKAGE]).catch((error: unknown) => {
      if (refresh) throw error;
      return "";
    });
    const name = /Depends: (linux-image-\S+)/.exec(text)?.[1];
    if (name !== undefined) return name;
  }
  throw new Error(`apt knows no package that ${META_PACKAGE} depends on`);
}

function readKernel(directory: string): KernelPackage {
  const [image] = globSync("boot/vmlinuz-*", { cwd: directory });
  if (image === undefined) throw imageFailure("the kernel", `no boot/vmlinuz in ${directory}`);
  const release = image.slice("boot/vmlinuz-".length);
  const [modules = `lib/modules/${release}`] = globSync(`{usr/,}lib/modules/${release}`, { cwd: directory });
  return {
    name: readFileSync(join(directory, COMPLETE), "utf8").trim(),
    release,
    image: join(directory, image),
    modules: join(directory, modules),
  };
}
