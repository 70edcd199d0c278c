import { mkdirSync, readdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { withMachineLock } from "../machine-lock.ts";
import { buildImage, IMAGE_FILES, inputIdentities } from "./build.ts";
import { type GuestSources, listBuilt, listContents } from "./contents.ts";
import { imageFailure } from "./failure.ts";
import { fileDigest } from "./file-identity.ts";
import { ensureKernel, type KernelOptions } from "./kernel-package.ts";
import { type ImageInputs, imageKey } from "./key.ts";
import { type ImageManifest, isFresh, listManifests, MANIFEST_FILE, readManifest } from "./manifest.ts";

/** Where images are kept. */
export const DEFAULT_IMAGE_CACHE = "/var/cache/trimaran/kata";

/** A start is over by then. */
const IN_USE_MS = 5 * 60_000;

/** A guest image that can be booted: paths on the host. */
export interface GuestImage {
  /** Digest of all inputs: equal keys are equal images. */
  readonly key: string;
  /** What was built has its manifest there; undefined: files of the operator's own. */
  readonly directory: string | undefined;
  /** An ELF file with a PVH entry. */
  readonly kernel: string;
  readonly initrd: string;
  /** erofs, read-only. */
  readonly disk: string;
}

/** How an image may be had. */
export interface ImageOptions {
  /** Default: `DEFAULT_IMAGE_CACHE`. */
  readonly cacheDirectory?: string;
  /** Where unpacked kernels are kept. Default: below the cache. */
  readonly kernelDirectory?: string;
  /** Of the kernel. A shim takes `never`: a pod's start must not depend on a mirror. */
  readonly download: KernelOptions["download"];
  readonly signal: AbortSignal;
}

/**
 * The image of these sources: one that is whole and was made of the same bytes, else a new one. One process at a time builds, others wait for
 * it. About a millisecond where nothing has changed, 2 s for a new one. Throws FailedPrecondition with the command that helps.
 */
export async function ensureImage(sources: GuestSources, options: ImageOptions): Promise<GuestImage> {
  const cache = options.cacheDirectory ?? DEFAULT_IMAGE_CACHE;
  const images = join(cache, "images");
  const ready = options.download === "newer" ? undefined : findFresh(images, sources);
  if (ready) return use(images, ready);
  return await withMachineLock(`image ${cache}`, options.signal, async () => {
    const meanwhile = options.download === "newer" ? undefined : findFresh(images, sources);
    if (meanwhile) return use(images, meanwhile);
    return toImage(images, await makeImage(cache, images, sources, options));
  });
}

/** Read a built image whole and compare digests. Throws FailedPrecondition naming the file that is not what was built; the image is then gone. */
export async function verifyImage({ directory }: GuestImage): Promise<void> {
  if (directory === undefined) return; // nothing tells what it must be
  for (const [name, { sha256 }] of Object.entries(readManifest(directory)?.outputs ?? { "": { sha256: "" } })) {
    const path = join(directory, name);
    if (name !== "" && (await fileDigest(path)) === sha256) continue;
    rmSync(join(directory, MANIFEST_FILE), { force: true }); // a folder without a manifest is no image
    throw imageFailure(path, "is not what was built");
  }
}

/** The manifest of the image that `sources` have now, for people; undefined where it must be built first. */
export function currentManifest(
  sources: GuestSources,
  cacheDirectory = DEFAULT_IMAGE_CACHE,
): ImageManifest | undefined {
  return findFresh(join(cacheDirectory, "images"), sources);
}

async function makeImage(
  cache: string,
  images: string,
  sources: GuestSources,
  { download, kernelDirectory, signal }: ImageOptions,
): Promise<ImageManifest> {
  if (process.arch !== "x64") throw imageFailure(process.arch, "images are for x86-64 machines only, so far", "none");
  mkdirSync(images, { recursive: true, mode: 0o755 });
  const directory = kernelDirectory ?? join(cache, "kernels");
  const built = listBuilt(sources.directory);
  const inputs: ImageInputs = {
    files: await listContents(sources),
    kernel: await ensureKernel({ directory, download, signal }),
    init: join(sources.directory, "init"),
  };
  const key = await imageKey(inputs);
  const target = join(images, key);
  const same = readManifest(target);
  const manifest = same
    ? renew(target, same, inputs)
    : await buildImage(inputs, { key, built }, join(images, ".new"), target);
  prune(images, key);
  return manifest;
}

/** Equal bytes from other files (a rebuild of the project, say): only the files' identities are new. */
function renew(target: string, same: ImageManifest, inputs: ImageInputs): ImageManifest {
  const manifest = { ...same, inputs: inputIdentities(inputs) };
  const path = join(target, MANIFEST_FILE);
  writeFileSync(`${path}.new`, `${JSON.stringify(manifest, undefined, 1)}\n`);
  renameSync(`${path}.new`, path);
  utimesSync(target, new Date(), new Date());
  return manifest;
}

/** The image before stays, and so does one that another task server may just be starting a machine from: there may be several installations. */
function prune(images: string, key: string): void {
  const others = listManifests(images).filter((each) => each.key !== key);
  const usedAt = (name: string) => statSync(join(images, name), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const kept = others.filter((each, i) => i === 0 || usedAt(each.key) > Date.now() - IN_USE_MS).map((each) => each.key);
  for (const name of readdirSync(images))
    if (name !== key && !kept.includes(name)) rmSync(join(images, name), { recursive: true, force: true });
}

/** Its folder's time tells when an image was used last. */
function use(images: string, manifest: ImageManifest): GuestImage {
  const now = new Date();
  utimesSync(join(images, manifest.key), now, now);
  return toImage(images, manifest);
}

function findFresh(images: string, { node, busybox, directory }: GuestSources): ImageManifest | undefined {
  const built = listBuilt(directory);
  const sources = [node, busybox, ...built.map((path) => join(directory, path))]; // another installation has the same names elsewhere
  return listManifests(images).find(
    (each) =>
      each.built.join("\n") === built.join("\n") && sources.every((path) => path in each.inputs) && isFresh(each),
  );
}

function toImage(images: string, { key }: ImageManifest): GuestImage {
  const directory = join(images, key);
  const path = (name: string) => join(directory, name);
  const { kernel, initrd, disk } = IMAGE_FILES;
  return { key, directory, kernel: path(kernel), initrd: path(initrd), disk: path(disk) };
}
