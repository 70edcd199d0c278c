import type { containerd, transferV1 } from "@trimaran/proto";
import { Code, ManagerError } from "../errors/manager-error.ts";
import type { Implementation } from "../grpc/implementation.ts";
import { requireNamespace, type ServiceCall } from "../grpc/service-call.ts";
import { parseReference } from "../registry/reference.ts";
import { Registry, type RegistryOptions } from "../registry/registry.ts";
import { exportArchive } from "../transfer/export-archive.ts";
import type { NamePrefix } from "../transfer/image-names.ts";
import { importArchive } from "../transfer/import-archive.ts";
import { holdLease } from "../transfer/own-lease.ts";
import { hostPlatform, type Platform, parsePlatform } from "../transfer/platform.ts";
import { NO_PROGRESS } from "../transfer/progress.ts";
import { pullImage } from "../transfer/pull-image.ts";
import { pushImage } from "../transfer/push-image.ts";
import { getImage, type NamedImage, storeImage } from "../transfer/store-image.ts";
import { callOptions, type TransferContext, type TransferServices } from "../transfer/transfer-context.ts";
import { defaultSnapshotter } from "../transfer/unpack.ts";
import type { UnpackRequest } from "../transfer/unpack-images.ts";
import { receiveBytes, sendBytes } from "./byte-stream.ts";
import { closeProgress, progressTo } from "./progress-stream.ts";
import { credentialsFrom } from "./stream-credentials.ts";
import type { StreamRegistry } from "./stream-registry.ts";
import { parseEnd, type TransferEnd } from "./transfer-ends.ts";

type ImageStore = containerd.types.transfer.ImageStore;
type OCIRegistry = containerd.types.transfer.OCIRegistry;

/** What transfers work with. */
export interface TransferHost {
  /** The other services, for callers of a namespace. */
  readonly services: (namespace: string) => TransferServices;
  readonly streams: StreamRegistry;
  /** How patiently registries are asked, and through which proxies. */
  readonly registry?: Pick<RegistryOptions, "stallMs" | "retry" | "proxyEnv">;
}

/** One transfer under way. */
interface Job {
  readonly host: TransferHost;
  readonly namespace: string;
  readonly context: TransferContext;
}

/** containerd.services.transfer.v1.Transfer: imports, exports, pulls, pushes and tags, done by the manager itself. */
export function transferService(host: TransferHost): Implementation<typeof transferV1> {
  return {
    async transfer(request, call) {
      const namespace = requireNamespace(call);
      const source = parseEnd(request.source, "source");
      const destination = parseEnd(request.destination, "destination");
      const progressId = request.options?.progressStream ?? "";
      const progress = progressId === "" ? undefined : host.streams.get(namespace, progressId);
      try {
        await run(
          host,
          namespace,
          call,
          source,
          destination,
          progress === undefined ? NO_PROGRESS : progressTo(progress),
        );
      } finally {
        if (progress !== undefined) await closeProgress(progress);
      }
      return {};
    },
  };
}

async function run(
  host: TransferHost,
  namespace: string,
  call: ServiceCall,
  source: TransferEnd,
  destination: TransferEnd,
  progress: TransferContext["progress"],
): Promise<void> {
  const services = host.services(namespace);
  await using lease = await holdLease(services, call.lease);
  const job: Job = { host, namespace, context: { services, lease: lease.id, signal: call.signal, progress } };
  const { kind: from } = source;
  const { kind: to } = destination;
  if (from === "import" && to === "store") await runImport(job, source.archive, destination.store);
  else if (from === "store" && to === "export") await runExport(job, source.store, destination.archive);
  else if (from === "store" && to === "store") await runTag(job, source.store, destination.store);
  else if (from === "registry" && to === "store") await runPull(job, source.registry, destination.store);
  else if (from === "store" && to === "registry") await runPush(job, source.store, destination.registry);
  else throw new ManagerError(Code.Unimplemented, `transfer from ${from} to ${to}: not implemented`);
}

async function runImport(
  job: Job,
  archive: containerd.types.transfer.ImageImportStream,
  store: ImageStore,
): Promise<void> {
  const stream = job.host.streams.get(job.namespace, archive.stream);
  try {
    await importArchive(job.context, {
      archive: receiveBytes(stream),
      indexName: store.name,
      prefixes: store.extraReferences.filter(({ isPrefix }) => isPrefix).map(toPrefix),
      labels: store.labels,
      platforms: platformsOf(store.platforms),
      unpacks: await unpacksOf(job, store),
      forceCompress: archive.forceCompress,
    });
  } finally {
    void stream.close();
  }
}

async function runExport(
  job: Job,
  store: ImageStore,
  archive: containerd.types.transfer.ImageExportStream,
): Promise<void> {
  const stream = job.host.streams.get(job.namespace, archive.stream);
  try {
    const platforms = platformsOf(archive.platforms);
    const chunks = exportArchive(job.context, {
      images: await imagesOf(job.context, store),
      platforms: archive.allPlatforms ? [] : platforms.length > 0 ? platforms : [hostPlatform()],
      skipDockerManifest: archive.skipCompatibilityManifest,
      skipNonDistributable: archive.skipNonDistributable,
    });
    await sendBytes(stream, chunks);
    void stream.close();
  } catch (error) {
    stream.fail(error);
    throw error;
  }
}

async function runTag(job: Job, source: ImageStore, destination: ImageStore): Promise<void> {
  if (destination.name === "") throw new ManagerError(Code.InvalidArgument, "destination.name: missing");
  const { target } = await getImage(job.context, source.name);
  await storeImage(job.context, { name: destination.name, target }, destination.labels);
}

async function runPull(job: Job, from: OCIRegistry, store: ImageStore): Promise<void> {
  await withRegistry(job, from, async (registry) => {
    await pullImage(job.context, registry, {
      name: store.name === "" ? from.reference : store.name,
      labels: store.labels,
      platforms: platformsOf(store.platforms),
      allMetadata: store.allMetadata,
      unpacks: await unpacksOf(job, store),
    });
  });
}

async function runPush(job: Job, store: ImageStore, to: OCIRegistry): Promise<void> {
  const image = await getImage(job.context, store.name === "" ? to.reference : store.name);
  await withRegistry(job, to, async (registry) => {
    await pushImage(job.context, registry, image, platformsOf(store.platforms));
  });
}

async function withRegistry(job: Job, end: OCIRegistry, body: (registry: Registry) => Promise<void>): Promise<void> {
  const { host, namespace, context } = job;
  const { authStream = "", logsStream = "", defaultScheme = "", hostDir = "", headers } = end.resolver ?? {};
  const auth = authStream === "" ? undefined : host.streams.get(namespace, authStream);
  if (logsStream !== "") void host.streams.get(namespace, logsStream).close(); // we log no requests: they hold secrets
  try {
    using registry = await Registry.open({
      ...host.registry,
      reference: parseReference(end.reference),
      signal: context.signal,
      hostDirectory: hostDir === "" ? undefined : hostDir,
      scheme: parseScheme(defaultScheme),
      headers,
      credentials: auth === undefined ? undefined : credentialsFrom(auth),
    });
    await body(registry);
  } finally {
    void auth?.close();
  }
}

function parseScheme(text: string): "http" | "https" | undefined {
  if (text === "") return undefined;
  if (text === "http" || text === "https") return text;
  throw new ManagerError(
    Code.InvalidArgument,
    `resolver.default_scheme ${JSON.stringify(text)}: neither http nor https`,
  );
}

function toPrefix(reference: containerd.types.transfer.ImageReference): NamePrefix {
  const { name, allowOverwrite, addDigest, skipNamedDigest } = reference;
  return { name, allowAnyName: allowOverwrite, addDigest, skipNamedDigest };
}

function platformsOf(wire: readonly containerd.types.Platform[]): Platform[] {
  return wire.map((platform, index) => parsePlatform(platform, `platforms[${index}]`));
}

async function unpacksOf(job: Job, { unpacks }: ImageStore): Promise<UnpackRequest[]> {
  const requests: UnpackRequest[] = [];
  for (const [index, { platform, snapshotter }] of unpacks.entries()) {
    requests.push({
      platform: platform === undefined ? undefined : parsePlatform(platform, `unpacks[${index}].platform`),
      snapshotter: snapshotter === "" ? await defaultSnapshotter(job.context, job.namespace) : snapshotter,
    });
  }
  return requests;
}

/** The images that an ImageStore speaks of: its own name, names, and all below a prefix. */
async function imagesOf(context: TransferContext, store: ImageStore): Promise<NamedImage[]> {
  const names = store.name === "" ? [] : [store.name];
  for (const { name, isPrefix } of store.extraReferences) {
    if (!isPrefix) names.push(name);
    else names.push(...(await namesBelow(context, name)));
  }
  if (names.length === 0) throw new ManagerError(Code.InvalidArgument, "source: no image is named");
  const images: NamedImage[] = [];
  for (const name of new Set(names)) images.push(await getImage(context, name));
  return images;
}

async function namesBelow(context: TransferContext, prefix: string): Promise<string[]> {
  const { images } = await context.services.images.list({}, callOptions(context));
  return images.map(({ name }) => name).filter((name) => name.startsWith(prefix));
}
