import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { ANY, type containerd, packAny } from "@trimaran/proto";
import { parseIdentifier } from "../bundles/identifier.ts";
import { Code, hasCode, ManagerError } from "../errors/manager-error.ts";
import type { PortMapping } from "../network/port-mapping.ts";
import { readSpecHost } from "../services/spec-host.ts";
import type { Rootfs } from "../snapshots/rootfs.ts";
import { buildSpec } from "../spec/build-spec.ts";
import { type ContainerOptions, NO_IMAGE_DEFAULTS } from "../spec/container-options.ts";
import type { OciSpec } from "../spec/oci-spec.ts";
import { type ClientContainer, type ContainerRootfs, toClientContainer } from "./client-container.ts";
import { CONTAINER_LABELS } from "./container-labels.ts";
import { useNetwork } from "./container-network.ts";
import { type ContainerSource, parseSource } from "./container-source.ts";
import type { ImageWishes } from "./image-config.ts";
import { containerFolder, type ManagerClient } from "./manager-client.ts";
import { directoriesOf, lookupUser, rootfsMountsOf } from "./rootfs-directories.ts";
import type { TransferOptions } from "./transfer-scope.ts";

/** A container to be made. */
export interface CreateContainerRequest {
  /** Default: twelve random hexadecimal digits. */
  readonly id?: string | undefined;
  /** a.b.NAME.VERSION or an absolute path. */
  readonly runtime: string;
  /** A rootfs directory, an image archive, or the name of an image. */
  readonly source: string;
  /** Use the rootfs directory itself, without an overlay over it. */
  readonly direct: boolean;
  readonly args: readonly string[];
  readonly options: ContainerOptions;
  /** "bridge" or a network of the user's; undefined: a network namespace with nothing in it, or the host's by `options`. */
  readonly network?: string | undefined;
  readonly ports: readonly PortMapping[];
  /** Remove the container when its task has ended. */
  readonly autoRemove: boolean;
  /** Keep its output in a file of the client's. */
  readonly keepOutput: boolean;
  readonly transfer: TransferOptions;
}

/** What the root file system of a new container is, and what goes on record of its image. */
interface Base {
  readonly image: string;
  readonly rootfs: ContainerRootfs;
  readonly wishes: ImageWishes;
}

const NO_WISHES: ImageWishes = { defaults: NO_IMAGE_DEFAULTS, stopSignal: "" };

/**
 * Resolve the source, unpack it if it is an image, build the spec, put the container on record. Nothing stays behind after a failure,
 * save an unpacked image. Throws AlreadyExists, NotFound, InvalidArgument.
 */
export async function createContainer(
  client: ManagerClient,
  request: CreateContainerRequest,
): Promise<ClientContainer> {
  const id = parseIdentifier("id", request.id ?? randomBytes(6).toString("hex"));
  const source = await parseSource(request.source, request.direct);
  await refuseTaken(client, id);
  return withBase(client, id, source, request, async (base) => {
    const { network } = request;
    try {
      const spec = await makeSpec(client, id, request, base);
      if (network !== undefined) await useNetwork(client, spec, id);
      const { container } = await client.services.containers.create({
        container: toRecord(client, id, request, base, spec),
      });
      if (container === undefined)
        throw new ManagerError(Code.Internal, "containers.create: no container in the answer");
      return toClientContainer(container);
    } catch (error) {
      throw hasCode(error, Code.AlreadyExists) ? taken(id) : error;
    }
  });
}

/** Have the root file system while `work` runs; it stays if that succeeds. */
async function withBase(
  client: ManagerClient,
  id: string,
  source: ContainerSource,
  request: CreateContainerRequest,
  work: (base: Base) => Promise<ClientContainer>,
): Promise<ClientContainer> {
  if (source.kind !== "directory") {
    const { withImageSnapshot } = await import("./image-snapshot.ts");
    return withImageSnapshot(client, id, source, request.transfer, ({ image, snapshotter, wishes }) =>
      work({ image, rootfs: { kind: "snapshot", snapshotter, key: id }, wishes }),
    );
  }
  try {
    return await work({ image: "", rootfs: source.rootfs, wishes: NO_WISHES });
  } catch (error) {
    if (!hasCode(error, Code.AlreadyExists)) await rm(containerFolder(client, id), { recursive: true, force: true });
    throw error;
  }
}

async function makeSpec(
  client: ManagerClient,
  id: string,
  { args, options }: CreateContainerRequest,
  { rootfs, wishes }: Base,
): Promise<OciSpec> {
  return buildSpec({
    namespace: client.namespace,
    id,
    args,
    options,
    image: wishes.defaults,
    lookupUser: async (user) => lookupUser(user, await readableDirectories(client, id, rootfs, user)),
    host: await readSpecHost(),
  });
}

/** Before it is on record a container must not have a folder: to look into its image none is needed. */
async function readableDirectories(client: ManagerClient, id: string, rootfs: ContainerRootfs, user: string) {
  if (user === "") return { upper: undefined, lowers: [] }; // root, whatever the files say
  if (rootfs.kind === "overlay") return { upper: undefined, lowers: rootfs.layers };
  return directoriesOf(await rootfsMountsOf(client, id, rootfs));
}

function toRecord(
  client: ManagerClient,
  id: string,
  request: CreateContainerRequest,
  { image, rootfs, wishes }: Base,
  spec: OciSpec,
): Partial<containerd.services.containers.v1.Container> {
  const { runtime, source, network, ports, autoRemove, keepOutput } = request;
  const snapshot = rootfs.kind === "snapshot" ? { snapshotter: rootfs.snapshotter, snapshotKey: rootfs.key } : {};
  const labels: Record<string, string> = { [CONTAINER_LABELS.source]: source };
  if (rootfs.kind !== "snapshot")
    labels[CONTAINER_LABELS.rootfs] = JSON.stringify(rootfs satisfies Rootfs | { kind: "unknown" });
  if (autoRemove) labels[CONTAINER_LABELS.autoRemove] = "true";
  if (keepOutput) labels[CONTAINER_LABELS.log] = join(containerFolder(client, id), "output.log");
  if (network !== undefined) labels[CONTAINER_LABELS.network] = network;
  if (ports.length > 0) labels[CONTAINER_LABELS.ports] = JSON.stringify(ports);
  if (wishes.stopSignal !== "") labels[CONTAINER_LABELS.stopSignal] = wishes.stopSignal;
  return {
    id,
    image,
    labels,
    runtime: { name: runtime, options: undefined },
    spec: packAny(ANY.ociSpec, Buffer.from(JSON.stringify(spec))),
    ...snapshot,
  };
}

async function refuseTaken({ services }: ManagerClient, id: string): Promise<void> {
  try {
    await services.containers.get({ id });
  } catch (error) {
    if (hasCode(error, Code.NotFound)) return;
    throw error;
  }
  throw taken(id);
}

function taken(id: string): ManagerError {
  return new ManagerError(Code.AlreadyExists, `container ${JSON.stringify(id)}: the id is taken`, {
    hint: `trimaran rm ${id}`,
  });
}
