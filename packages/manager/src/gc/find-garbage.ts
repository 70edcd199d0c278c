import { isExpired, isFlat, isGcRoot, type Labels, labelReferences, type Reference } from "./gc-labels.ts";
import type { Garbage, StoredLease, StoredObjects, StoredSnapshot } from "./stored-objects.ts";

const SNAPSHOTS = "snapshots/";

/**
 * Mark what a namespace needs, and name the rest. Roots: unexpired leases, images and ingests, blobs and snapshots with a root
 * label, containers, sandboxes. Edges: image to target, ingest to the blob it shall become, snapshot to parent, labels to what they name.
 */
export function findGarbage(objects: StoredObjects, nowNs: bigint): Garbage {
  const reached = new Reached(toGraph(objects));
  for (const root of roots(objects, nowNs)) reached.mark(root);
  const { live = [], expired = [] } = Object.groupBy(objects.leases, ({ labels }) =>
    isExpired(labels, nowNs) ? "expired" : "live",
  );
  for (const lease of live) holdResources(lease, reached);
  const unreached = (node: string): boolean => !reached.has(node);
  return {
    leases: expired.map(({ id }) => id),
    images: objects.images.map(({ name }) => name).filter((name) => unreached(imageNode(name))),
    blobs: objects.blobs.map(({ digest }) => digest).filter((digest) => unreached(contentNode(digest))),
    ingests: objects.ingests.map(({ ref }) => ref).filter((ref) => unreached(ingestNode(ref))),
    snapshots: childrenFirst(objects.snapshots.filter((each) => unreached(snapshotNode(each)))),
  };
}

interface Vertex {
  readonly edges: readonly string[];
  /** Of a snapshot. */
  readonly parent: string | undefined;
}

/** Nodes that were reached. A flat mark takes only the node, and a snapshot's parents; a full mark may come later. */
class Reached {
  readonly #graph: ReadonlyMap<string, Vertex>;
  readonly #full = new Set<string>();
  readonly #flat = new Set<string>();

  constructor(graph: ReadonlyMap<string, Vertex>) {
    this.#graph = graph;
  }

  has(node: string): boolean {
    return this.#full.has(node) || this.#flat.has(node);
  }

  mark(root: string): void {
    const pending = [root];
    for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
      if (this.#full.has(node)) continue;
      this.#full.add(node);
      const vertex = this.#graph.get(node);
      if (vertex === undefined) continue;
      for (const edge of vertex.edges) pending.push(edge);
      if (vertex.parent !== undefined) pending.push(vertex.parent);
    }
  }

  markFlat(root: string): void {
    for (
      let node: string | undefined = root;
      node !== undefined && !this.has(node);
      node = this.#graph.get(node)?.parent
    ) {
      this.#flat.add(node);
    }
  }
}

function toGraph({ images, blobs, ingests, snapshots }: StoredObjects): Map<string, Vertex> {
  const graph = new Map<string, Vertex>();
  for (const { name, targetDigest, labels } of images) {
    graph.set(imageNode(name), { edges: [contentNode(targetDigest), ...labelNodes(labels)], parent: undefined });
  }
  for (const { digest, labels } of blobs) {
    graph.set(contentNode(digest), { edges: labelNodes(labels), parent: undefined });
  }
  for (const { ref, expected } of ingests) {
    graph.set(ingestNode(ref), { edges: expected === undefined ? [] : [contentNode(expected)], parent: undefined });
  }
  for (const { snapshotter, key, parent, labels } of snapshots) {
    const above = parent === "" ? undefined : snapshotNode({ snapshotter, key: parent });
    graph.set(snapshotNode({ snapshotter, key }), { edges: labelNodes(labels), parent: above });
  }
  return graph;
}

function* roots(objects: StoredObjects, nowNs: bigint): Generator<string> {
  for (const { name, labels } of objects.images) if (!isExpired(labels, nowNs)) yield imageNode(name);
  for (const { digest, labels } of objects.blobs) if (isGcRoot(labels)) yield contentNode(digest);
  for (const { labels, ...snapshot } of objects.snapshots) if (isGcRoot(labels)) yield snapshotNode(snapshot);
  for (const { ref, expiresAtNs, open } of objects.ingests) {
    if (open || (expiresAtNs !== undefined && expiresAtNs > nowNs)) yield ingestNode(ref);
  }
  for (const { labels, snapshotter, snapshotKey } of objects.containers) {
    yield* labelNodes(labels);
    if (snapshotKey !== "") yield snapshotNode({ snapshotter, key: snapshotKey });
  }
  for (const { labels } of objects.sandboxes) yield* labelNodes(labels);
}

function holdResources({ labels, resources }: StoredLease, reached: Reached): void {
  for (const node of labelNodes(labels)) reached.mark(node);
  for (const { type, id } of resources) {
    const node = resourceNode(type, id);
    if (node === undefined) continue;
    if (isFlat(labels)) reached.markFlat(node);
    else reached.mark(node);
  }
}

function resourceNode(type: string, id: string): string | undefined {
  if (type === "content") return contentNode(id);
  if (type === "ingests") return ingestNode(id);
  if (type === "images") return imageNode(id);
  return type.startsWith(SNAPSHOTS) ? snapshotNode({ snapshotter: type.slice(SNAPSHOTS.length), key: id }) : undefined;
}

function labelNodes(labels: Labels): string[] {
  return labelReferences(labels).map(referenceNode);
}

function referenceNode(reference: Reference): string {
  switch (reference.kind) {
    case "content":
      return contentNode(reference.digest);
    case "image":
      return imageNode(reference.name);
    case "snapshot":
      return snapshotNode(reference);
  }
}

/** The garbage is closed under children, so depth can be counted within it. */
function childrenFirst(snapshots: readonly StoredSnapshot[]): { snapshotter: string; key: string }[] {
  const byNode = new Map(snapshots.map((each) => [snapshotNode(each), each]));
  const ordered = new Set<StoredSnapshot>();
  for (const each of snapshots) {
    const chain: StoredSnapshot[] = [];
    let next: StoredSnapshot | undefined = each;
    while (next !== undefined && !ordered.has(next) && !chain.includes(next)) {
      chain.push(next);
      next = byNode.get(snapshotNode({ snapshotter: next.snapshotter, key: next.parent }));
    }
    for (const parent of chain.reverse()) ordered.add(parent);
  }
  return [...ordered].reverse().map(({ snapshotter, key }) => ({ snapshotter, key }));
}

const contentNode = (digest: string): string => `content ${digest}`;
const imageNode = (name: string): string => `image ${name}`;
const ingestNode = (ref: string): string => `ingest ${ref}`;
const snapshotNode = ({ snapshotter, key }: { snapshotter: string; key: string }): string =>
  `snapshot ${snapshotter}/${key}`;
