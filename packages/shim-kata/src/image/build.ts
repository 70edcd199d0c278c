import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { runProgram } from "../run-program.ts";
import { GUEST_DIRECTORIES, GUEST_LINKS, GUEST_TEXTS } from "./contents.ts";
import { type CpioEntry, DIRECTORY_MODE, encodeCpio, FILE_MODE, PROGRAM_MODE } from "./cpio.ts";
import { imageFailure } from "./failure.ts";
import { fileDigest, fileIdentity } from "./file-identity.ts";
import { extractKernel } from "./kernel.ts";
import { type ImageInputs, MKFS_FLAGS, TOOLS } from "./key.ts";
import { IMAGE_FORMAT, type ImageContent, type ImageManifest, MANIFEST_FILE } from "./manifest.ts";
import { type KernelModule, orderModules, WANTED_MODULES } from "./modules.ts";

/** Files of an image's folder. */
export const IMAGE_FILES = { kernel: "vmlinux", initrd: "initrd.img", disk: "disk.erofs" } as const;

/**
 * Make the image and put it at `target`, whole or not at all. `work` is a folder on the same file system that nobody else uses; it is gone
 * afterwards. Throws FailedPrecondition naming the part that failed; a full disk is one.
 */
export async function buildImage(
  inputs: ImageInputs,
  identity: Pick<ImageManifest, "key" | "built">,
  work: string,
  target: string,
): Promise<ImageManifest> {
  rmSync(work, { recursive: true, force: true });
  try {
    mkdirSync(work, { recursive: true, mode: 0o755 });
    const read = inputIdentities(inputs); // before the bytes: what changes meanwhile makes the image stale, not wrong
    const contents = [...writeKernel(inputs, work), ...writeInitrd(inputs, work), ...(await writeDisk(inputs, work))];
    const { name: kernelPackage, release } = inputs.kernel;
    const outputs = await digests(work);
    const manifest = {
      format: IMAGE_FORMAT,
      ...identity,
      release,
      kernelPackage,
      inputs: read,
      outputs,
      contents,
    } as const;
    writeFileSync(join(work, MANIFEST_FILE), `${JSON.stringify(manifest, undefined, 1)}\n`, { flush: true });
    rmSync(target, { recursive: true, force: true });
    renameSync(work, target);
    return manifest;
  } catch (error) {
    throw imageFailure("can't be built", error, "trimaran kata image build shows more");
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Path to identity of every file that was read. */
export function inputIdentities({ kernel, init, files }: ImageInputs): Record<string, string> {
  const paths = [kernel.image, init, ...files.map(({ source }) => source)].sort();
  return Object.fromEntries(paths.map((path) => [path, fileIdentity(path) ?? "gone"]));
}

function writeKernel({ kernel }: ImageInputs, work: string): ImageContent[] {
  const bytes = extractKernel(readFileSync(kernel.image));
  writeFileSync(join(work, IMAGE_FILES.kernel), bytes, { flush: true });
  return [{ where: "kernel", path: "vmlinux", bytes: bytes.length, reason: `${kernel.name}, not compressed` }];
}

function writeInitrd({ kernel, init }: ImageInputs, work: string): ImageContent[] {
  const builtin = readFileSync(join(kernel.modules, "modules.builtin"), "utf8");
  const modules = orderModules(kernel.modules, WANTED_MODULES, builtin);
  const program = readFileSync(init);
  writeFileSync(join(work, IMAGE_FILES.initrd), encodeCpio(initrdEntries(program, modules)), { flush: true });
  const listed = modules.map(({ name, reason, content }) => {
    return { where: "initrd", path: `/modules/${name}.ko`, bytes: content.length, reason } as const;
  });
  const reason = "process 1: modules, mounts, starts the agent, reaps";
  return [{ where: "initrd", path: "/init", bytes: program.length, reason }, ...listed];
}

function initrdEntries(init: Buffer, modules: readonly KernelModule[]): CpioEntry[] {
  const order = modules.map(({ name }) => `${name}.ko\n`).join("");
  return [
    { path: "dev", mode: DIRECTORY_MODE },
    { path: "root", mode: DIRECTORY_MODE },
    { path: "init", mode: PROGRAM_MODE, content: init },
    { path: "modules", mode: DIRECTORY_MODE },
    { path: "modules/order", mode: FILE_MODE, content: Buffer.from(order) },
    ...modules.map(({ name, content }) => ({ path: `modules/${name}.ko`, mode: FILE_MODE, content })),
  ];
}

async function writeDisk({ files }: ImageInputs, work: string): Promise<ImageContent[]> {
  const tree = join(work, "tree");
  for (const directory of GUEST_DIRECTORIES) mkdirSync(join(tree, directory), { recursive: true });
  for (const [path, target] of Object.entries(GUEST_LINKS)) symlinkSync(target, join(tree, path));
  const contents: ImageContent[] = [];
  for (const { target, source, mode, strip, reason } of files) {
    const path = join(tree, target);
    mkdirSync(dirname(path), { recursive: true });
    copyFileSync(source, path);
    if (strip === true && existsSync(TOOLS.strip)) await runProgram([TOOLS.strip, "--strip-all", path]);
    chmodSync(path, mode);
    contents.push({ where: "disk", path: target, bytes: statSync(path).size, reason });
  }
  for (const [path, { text, reason }] of Object.entries(GUEST_TEXTS)) {
    writeFileSync(join(tree, path), text, { mode: 0o644 });
    contents.push({ where: "disk", path, bytes: text.length, reason });
  }
  await runProgram([TOOLS.mkfs, ...MKFS_FLAGS, join(work, IMAGE_FILES.disk), tree]);
  rmSync(tree, { recursive: true });
  return contents;
}

async function digests(work: string): Promise<ImageManifest["outputs"]> {
  const outputs: Record<string, { bytes: number; sha256: string }> = {};
  for (const name of Object.values(IMAGE_FILES)) {
    const path = join(work, name);
    outputs[name] = { bytes: statSync(path).size, sha256: await fileDigest(path) };
  }
  return outputs;
}
