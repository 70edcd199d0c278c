import { gunzipSync } from "node:zlib";
import {
  type containerd,
  contentV1,
  diffV1,
  type google,
  imagesV1,
  leasesV1,
  namespacesV1,
  type ServiceDescriptor,
  snapshotsV1,
} from "@trimaran/proto";
import { digestOf } from "../../content/digest.ts";
import { Code, ManagerError } from "../../errors/manager-error.ts";
import type { Implementation } from "../../grpc/implementation.ts";
import { inProcessClient } from "../../grpc/in-process.ts";
import { detectCompression } from "../../layers/unpack/decompress.ts";
import type { ProgressEvent } from "../progress.ts";
import type { TransferContext, TransferServices } from "../transfer-context.ts";

type Mask = google.protobuf.FieldMask | undefined;

interface Blob {
  readonly bytes: Buffer;
  labels: Record<string, string>;
}

interface Snapshot {
  readonly parent: string;
  readonly isCommitted: boolean;
  /** Diff ids from the bottom up. */
  readonly layers: string[];
}

/** The services that transfers use, in memory, behind the real codec. Looks and rules are the contract's, as far as used. */
export class FakeServices {
  readonly blobs = new Map<string, Blob>();
  readonly ingests = new Map<string, Buffer>();
  readonly images = new Map<string, containerd.services.images.v1.Image>();
  readonly snapshots = new Map<string, Snapshot>();
  readonly progress: ProgressEvent[] = [];
  /** What layers were applied, in order. */
  readonly applied: string[] = [];
  /** Leases that were made through the service and are there. */
  readonly ownLeases = new Map<string, Record<string, string>>();
  /** Blobs that were leased by name. */
  readonly leased: string[] = [];
  /** Refs that somebody else writes. */
  readonly locked = new Set<string>();
  /** Leases of the calls that wrote. */
  readonly leases = new Set<string | undefined>();

  context(signal: AbortSignal = new AbortController().signal): TransferContext {
    const progress = async (event: ProgressEvent) => void this.progress.push(event);
    return { services: this.services(), lease: "the-lease", signal, progress };
  }

  /** Their clients, within the process. */
  services(namespace = "test"): TransferServices {
    const all = this.implementations();
    return {
      content: inProcessClient(contentV1, all.content, namespace),
      images: inProcessClient(imagesV1, all.images, namespace),
      snapshots: inProcessClient(snapshotsV1, all.snapshots, namespace),
      diff: inProcessClient(diffV1, all.diff, namespace),
      leases: inProcessClient(leasesV1, all.leases, namespace),
      namespaces: inProcessClient(namespacesV1, all.namespaces, namespace),
    };
  }

  implementations() {
    return {
      content: this.#content(),
      images: this.#images(),
      snapshots: this.#snapshots(),
      diff: this.#diff(),
      leases: this.#leases(),
      namespaces: this.#namespaces(),
    };
  }

  addBlob(bytes: Uint8Array | string, labels: Record<string, string> = {}): string {
    const content = Buffer.from(bytes);
    const digest = digestOf(content);
    this.blobs.set(digest, { bytes: content, labels });
    return digest;
  }

  #content(): Implementation<typeof contentV1> {
    const { blobs, ingests } = this;
    const find = (digest: string) => blobs.get(digest) ?? fail(Code.NotFound, `content digest ${digest}: not found`);
    const info = (digest: string) => ({ digest, size: find(digest).bytes.length, labels: find(digest).labels });
    return {
      ...unimplemented(contentV1),
      info: ({ digest }) => ({ info: info(digest) }),
      update: ({ info: wanted, updateMask }) => {
        const digest = wanted?.digest ?? "";
        find(digest).labels = masked(find(digest).labels, wanted?.labels ?? {}, updateMask);
        return { info: info(digest) };
      },
      async *list({ filters }) {
        const [, key = "", value] = /^labels\."(.+)"==(.+)$/.exec(filters[0] ?? "") ?? [];
        for (const [digest, { labels }] of blobs) if (labels[key] === value) yield { info: [info(digest)] };
      },
      async *read({ digest, offset, size }) {
        const end = size > 0n ? Number(offset + size) : undefined;
        const bytes = find(digest).bytes.subarray(Number(offset), end);
        for (let at = 0; at < bytes.length; at += 1 << 20) yield { data: bytes.subarray(at, at + (1 << 20)) };
      },
      abort: ({ ref }) => (ingests.delete(ref) ? {} : fail(Code.NotFound, `ref ${ref}: not found`)),
      write: (requests, call) => this.#write(requests, call.lease),
    };
  }

  async *#write(
    requests: AsyncIterable<containerd.services.content.v1.WriteContentRequest>,
    lease: string | undefined,
  ): AsyncGenerator<{ offset: number; digest: string }> {
    this.leases.add(lease);
    let ref = "";
    for await (const { action, ref: name, expected, offset, data, total } of requests) {
      if (ref === "" && this.locked.has(name)) fail(Code.Unavailable, `ref ${name} locked`);
      ref ||= name;
      if (this.blobs.has(expected)) fail(Code.AlreadyExists, `content ${expected}: already exists`);
      let bytes = this.ingests.get(ref) ?? Buffer.alloc(0);
      if (action === 1) {
        if (offset === 0n) bytes = Buffer.alloc(0);
        if (Number(offset) !== bytes.length) fail(Code.OutOfRange, "wrong offset");
        bytes = Buffer.concat([bytes, data]);
      }
      this.ingests.set(ref, bytes);
      const digest = digestOf(bytes);
      if (action === 2) {
        if (Number(offset) !== bytes.length) fail(Code.OutOfRange, "a commit without offset truncates");
        if (total > 0n && Number(total) !== bytes.length) fail(Code.FailedPrecondition, "failed size validation");
        if (expected !== "" && expected !== digest) fail(Code.FailedPrecondition, `unexpected commit digest ${digest}`);
        this.ingests.delete(ref);
        if (this.blobs.has(digest)) fail(Code.AlreadyExists, "already exists");
        this.blobs.set(digest, { bytes, labels: {} });
      }
      yield { offset: bytes.length, digest };
    }
  }

  #images(): Implementation<typeof imagesV1> {
    const { images } = this;
    return {
      ...unimplemented(imagesV1),
      list: () => ({ images: [...images.values()] }),
      get: ({ name }) => ({ image: images.get(name) ?? fail(Code.NotFound, `image "${name}": not found`) }),
      create: ({ image }) => {
        if (image === undefined || images.has(image.name)) fail(Code.AlreadyExists, `image "${image?.name}"`);
        images.set(image.name, image);
        return { image };
      },
      update: ({ image, updateMask }) => {
        const old = images.get(image?.name ?? "");
        if (image === undefined || old === undefined) fail(Code.NotFound, "image");
        const labels = masked(old.labels, image.labels, updateMask);
        const target = updateMask?.paths.includes("target") ? image.target : old.target;
        images.set(image.name, { ...image, labels, target });
        return { image };
      },
    };
  }

  #snapshots(): Implementation<typeof snapshotsV1> {
    const { snapshots } = this;
    return {
      ...unimplemented(snapshotsV1),
      prepare: ({ key, parent, labels }) => {
        const target = labels["containerd.io/snapshot.ref"] ?? "";
        if (snapshots.has(target) || snapshots.has(key)) fail(Code.AlreadyExists, `target snapshot "${target}"`);
        const below = snapshots.get(parent);
        if (parent !== "" && below?.isCommitted !== true) fail(Code.NotFound, `parent snapshot ${parent}`);
        snapshots.set(key, { parent, isCommitted: false, layers: [...(below?.layers ?? [])] });
        return { mounts: [{ type: "fake", source: key }] };
      },
      commit: ({ key, name }) => {
        const active = snapshots.get(key) ?? fail(Code.NotFound, key);
        if (snapshots.has(name)) fail(Code.AlreadyExists, name);
        snapshots.delete(key);
        snapshots.set(name, { ...active, isCommitted: true });
        return {};
      },
      remove: ({ key }) => (snapshots.delete(key) ? {} : fail(Code.NotFound, key)),
      usage: ({ key }) => (snapshots.has(key) ? { size: 4096 } : fail(Code.NotFound, key)),
    };
  }

  #leases(): Implementation<typeof leasesV1> {
    return {
      ...unimplemented(leasesV1),
      create: ({ labels }) => {
        const id = `lease-${this.ownLeases.size}`;
        this.ownLeases.set(id, labels);
        return { lease: { id, labels } };
      },
      addResource: ({ resource }) => {
        this.leased.push(resource?.id ?? "");
        return {};
      },
      delete: ({ id }) => {
        if (!this.ownLeases.has(id)) fail(Code.NotFound, id);
        this.ownLeases.delete(id);
        return {};
      },
    };
  }

  #namespaces(): Implementation<typeof namespacesV1> {
    return { ...unimplemented(namespacesV1), get: ({ name }) => ({ namespace: { name } }) };
  }

  #diff(): Implementation<typeof diffV1> {
    return {
      ...unimplemented(diffV1),
      apply: ({ diff, mounts }) => {
        const { bytes } = this.blobs.get(diff?.digest ?? "") ?? fail(Code.NotFound, "layer");
        const digest = digestOf(detectCompression(bytes) === "gzip" ? gunzipSync(bytes) : bytes);
        this.snapshots.get(mounts[0]?.source ?? "")?.layers.push(digest);
        this.applied.push(digest);
        return { applied: { digest } };
      },
    };
  }
}

function masked(old: Record<string, string>, given: Record<string, string>, mask: Mask): Record<string, string> {
  const keys = (mask?.paths ?? []).filter((path) => path.startsWith("labels.")).map((path) => path.slice(7));
  return { ...old, ...Object.fromEntries(keys.map((key) => [key, given[key] ?? ""])) };
}

/** Every method answers Unimplemented: a test that gets there fails. */
function unimplemented<Service extends ServiceDescriptor>(table: Service): Implementation<Service> {
  const handler: unknown = () => fail(Code.Unimplemented, "not in the fake");
  const methods: unknown = Object.fromEntries(Object.keys(table.methods).map((key) => [key, handler]));
  return methods as Implementation<Service>;
}

function fail(code: Code, message: string): never {
  throw new ManagerError(code, message);
}
