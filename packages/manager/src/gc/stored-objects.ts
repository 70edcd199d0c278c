import type { Labels } from "./gc-labels.ts";

/** What garbage collection looks at, of one namespace. References may lead to what is not there. */
export interface StoredObjects {
  readonly leases: readonly StoredLease[];
  readonly images: readonly StoredImage[];
  readonly containers: readonly StoredContainer[];
  readonly sandboxes: readonly StoredSandbox[];
  readonly blobs: readonly StoredBlob[];
  readonly ingests: readonly StoredIngest[];
  readonly snapshots: readonly StoredSnapshot[];
}

/** A lease and what it holds; resource types are those of the leases service ("content", "snapshots/overlayfs" …). */
export interface StoredLease {
  readonly id: string;
  readonly labels: Labels;
  readonly resources: readonly { readonly type: string; readonly id: string }[];
}

/** An image. */
export interface StoredImage {
  readonly name: string;
  readonly labels: Labels;
  readonly targetDigest: string;
}

/** A container; snapshotter and key are empty if it has no snapshot. */
export interface StoredContainer {
  readonly id: string;
  readonly labels: Labels;
  readonly snapshotter: string;
  readonly snapshotKey: string;
}

/** A sandbox: it holds what its labels name. */
export interface StoredSandbox {
  readonly labels: Labels;
}

/** A blob. */
export interface StoredBlob {
  readonly digest: string;
  readonly labels: Labels;
}

/** An ingest; without an end it lives as long as a lease holds it. */
export interface StoredIngest {
  readonly ref: string;
  readonly expected: string | undefined;
  readonly expiresAtNs: bigint | undefined;
  /** Somebody writes it now. */
  readonly open: boolean;
}

/** A snapshot; `parent` is empty for a base. */
export interface StoredSnapshot {
  readonly snapshotter: string;
  readonly key: string;
  readonly parent: string;
  readonly labels: Labels;
}

/** What may go, of one namespace. Containers and sandboxes are never garbage. Snapshots come children first. */
export interface Garbage {
  readonly leases: readonly string[];
  readonly images: readonly string[];
  readonly blobs: readonly string[];
  readonly ingests: readonly string[];
  readonly snapshots: readonly { readonly snapshotter: string; readonly key: string }[];
}
