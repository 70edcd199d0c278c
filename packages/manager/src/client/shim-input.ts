import { bundleAt } from "../bundles/bundle.ts";
import { parseIdentifier } from "../bundles/identifier.ts";
import type { RootfsMount } from "../snapshots/rootfs-mounts.ts";
import { type ClientContainer, specText } from "./client-container.ts";
import type { ManagerClient } from "./manager-client.ts";
import { rootfsMountsOf } from "./rootfs-directories.ts";

/** What a shim is given to make a container of. */
export interface ShimInput {
  readonly id: string;
  /** Where its bundle is, or would be. */
  readonly bundle: string;
  /** config.json, untrusted. */
  readonly config: unknown;
  readonly rootfs: readonly RootfsMount[];
}

/** What a container's shim was given, or would be. Makes nothing. */
export async function shimInput(client: ManagerClient, container: ClientContainer): Promise<ShimInput> {
  const { id, record, rootfs } = container;
  const namespace = parseIdentifier("namespace", client.namespace);
  const bundle = bundleAt(client.directories, namespace, parseIdentifier("id", id)).path;
  const mounts = await rootfsMountsOf(client, id, rootfs);
  const plain = mounts.map(({ type, source, target, options }) => ({ type, source, target, options }));
  return { id, bundle, config: JSON.parse(specText(record) ?? "{}"), rootfs: plain };
}
