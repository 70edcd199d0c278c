import { createReadStream } from "node:fs";
import { fromTimestamp } from "@trimaran/proto";
import type { CredentialSource } from "../registry/credentials.ts";
import { formatReference, parseReference } from "../registry/reference.ts";
import { Registry } from "../registry/registry.ts";
import { checkImage, type ImageStatus, imageUsage } from "../transfer/check-image.ts";
import { type Descriptor, fromWire } from "../transfer/descriptor.ts";
import { exportArchive } from "../transfer/export-archive.ts";
import { readTree, storedDocuments } from "../transfer/image-tree.ts";
import { importArchive } from "../transfer/import-archive.ts";
import { hostPlatform, type Platform, parsePlatform } from "../transfer/platform.ts";
import { pullImage } from "../transfer/pull-image.ts";
import { pushImage } from "../transfer/push-image.ts";
import { hasBlob } from "../transfer/read-blob.ts";
import { type NamedImage, storeImage } from "../transfer/store-image.ts";
import type { TransferContext } from "../transfer/transfer-context.ts";
import { findImage } from "./container-source.ts";
import { snapshotterOf } from "./image-snapshot.ts";
import type { ManagerClient } from "./manager-client.ts";
import { inTransfer, readingContext, type TransferOptions } from "./transfer-scope.ts";

/** An image as a list shows it. */
export interface ImageSummary {
  readonly name: string;
  readonly digest: string;
  readonly mediaType: string;
  readonly createdAtNs: bigint;
  /** Of all its blobs that are there. */
  readonly contentBytes: number;
  /** Of its layers, unpacked for this machine. */
  readonly snapshotBytes: number;
  readonly labels: Readonly<Record<string, string>>;
}

/** How registries are reached. */
export interface RegistryAccess {
  /** http instead of https. Loopback is http anyway. */
  readonly plainHttp: boolean;
  /** Folder of `HOST/hosts.toml` files; undefined: none. */
  readonly hostDirectory: string | undefined;
  readonly credentials: CredentialSource | undefined;
}

/** Which images of an index are meant; empty: all. */
export interface PlatformChoice {
  readonly platforms: readonly Platform[];
}

/** `linux/arm64`, `linux/arm/v7`. Throws RangeError. */
export function parsePlatformText(text: string): Platform {
  const [os = "", architecture = "", variant = "", ...more] = text.split("/");
  if (os === "" || architecture === "" || more.length > 0) {
    throw new RangeError(`${JSON.stringify(text)}: not OS/ARCHITECTURE[/VARIANT]`);
  }
  return parsePlatform({ os, architecture, variant }, "platform");
}

/** All images, by name. What a broken image takes is counted as far as it can be read. */
export async function listImages(client: ManagerClient): Promise<ImageSummary[]> {
  const context = readingContext(client);
  const snapshotter = await snapshotterOf(context, client.namespace);
  const { images } = await client.services.images.list({ filters: [] });
  return Promise.all(
    images.map(async ({ name, target, createdAt, labels }): Promise<ImageSummary> => {
      const descriptor = fromWire(target, `image ${JSON.stringify(name)}`);
      const usage = await imageUsage(context, { name, target: descriptor }, snapshotter).catch(() => NO_USAGE);
      const { digest, mediaType } = descriptor;
      return { name, digest, mediaType, createdAtNs: createdAt ? fromTimestamp(createdAt) : 0n, ...usage, labels };
    }),
  );
}

/** Bring an image from its registry, and unpack it if it is for this machine. */
export async function pull(
  client: ManagerClient,
  name: string,
  { platforms, ...access }: RegistryAccess & PlatformChoice,
  options: TransferOptions,
): Promise<NamedImage> {
  const reference = parseReference(name);
  return inTransfer(client, options, async (context) => {
    using registry = await openRegistry(name, access, context.signal);
    const snapshotter = await snapshotterOf(context, client.namespace);
    return pullImage(context, registry, {
      name: formatReference(reference),
      labels: {},
      platforms: platforms.length > 0 ? platforms : [hostPlatform()],
      allMetadata: false,
      unpacks: [{ platform: undefined, snapshotter }],
    });
  });
}

/** Bring an image into the registry of a name; the digest that it has there. Default: its own name, and this machine's part of it. */
export async function push(
  client: ManagerClient,
  name: string,
  target: string | undefined,
  { platforms, ...access }: RegistryAccess & PlatformChoice,
  options: TransferOptions,
): Promise<Descriptor> {
  return inTransfer(client, options, async (context) => {
    const image = await findImage(context, name);
    using registry = await openRegistry(target ?? image.name, access, context.signal);
    const { isComplete } = await wholeness(context, image);
    return pushImage(context, registry, image, platforms.length > 0 || isComplete ? platforms : [hostPlatform()]);
  });
}

/** The images of an archive, unpacked for this machine. A name for those that have none: `PREFIX@DIGEST`. */
export async function importFile(
  client: ManagerClient,
  path: string | undefined,
  input: AsyncIterable<Buffer>,
  { platforms }: PlatformChoice,
  options: TransferOptions,
): Promise<NamedImage[]> {
  const archive = path === undefined ? input : createReadStream(path, { highWaterMark: 1 << 20 });
  return inTransfer(client, options, async (context) => {
    const snapshotter = await snapshotterOf(context, client.namespace);
    return importArchive(context, {
      archive,
      indexName: "",
      prefixes: [{ name: "imported", allowAnyName: true, addDigest: true, skipNamedDigest: true }],
      labels: {},
      platforms,
      unpacks: [{ platform: undefined, snapshotter }],
      forceCompress: false,
    });
  });
}

/** An archive of images, as a tar stream. Without platforms: whatever is there, if an image is not whole this machine's part. */
export async function* exportImages(
  client: ManagerClient,
  names: readonly string[],
  { platforms }: PlatformChoice,
): AsyncGenerator<Uint8Array, void> {
  const context = readingContext(client);
  const images: NamedImage[] = [];
  for (const name of names) images.push(await findImage(context, name));
  const whole = await Promise.all(images.map((image) => wholeness(context, image)));
  const chosen = platforms.length > 0 || whole.every(({ isComplete }) => isComplete) ? platforms : [hostPlatform()];
  yield* exportArchive(context, { images, platforms: chosen, skipDockerManifest: false, skipNonDistributable: false });
}

/** Give an image another name, too. Names of registries are completed as docker does it. */
export async function tagImage(client: ManagerClient, name: string, target: string): Promise<string> {
  return inTransfer(client, {}, async (context) => {
    const image = await findImage(context, name);
    return (await storeImage(context, { name: formatReference(parseReference(target)), target: image.target })).name;
  });
}

/** Take a name away; what nothing keeps then is collected. Throws NotFound. Its whole name. */
export async function removeImage(client: ManagerClient, name: string): Promise<string> {
  const image = await findImage(readingContext(client), name);
  await client.services.images.delete({ name: image.name, sync: true });
  return image.name;
}

/** What there is of an image for this machine. */
export async function inspectImage(client: ManagerClient, name: string): Promise<NamedImage & ImageStatus> {
  const context = readingContext(client);
  const image = await findImage(context, name);
  const status = await checkImage(context, image, await snapshotterOf(context, client.namespace));
  return { ...image, ...status };
}

const NO_USAGE = { contentBytes: 0, snapshotBytes: 0 };

/** Whether all that an image names, for all platforms, is there. */
async function wholeness(context: TransferContext, image: NamedImage): Promise<{ isComplete: boolean }> {
  const tree = await readTree(image.target, storedDocuments(context));
  const blobs = [
    ...tree.indexes.flatMap(({ manifests }) => manifests),
    ...tree.images.flatMap(({ config, layers }) => [config, ...layers]),
  ];
  for (const { digest } of blobs) if (!(await hasBlob(context, digest))) return { isComplete: false };
  return { isComplete: true };
}

function openRegistry(name: string, access: RegistryAccess, signal: AbortSignal): Promise<Registry> {
  const { plainHttp, hostDirectory, credentials } = access;
  return Registry.open({
    reference: parseReference(name),
    signal,
    hostDirectory,
    scheme: plainHttp ? "http" : undefined,
    credentials,
  });
}
