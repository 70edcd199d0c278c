import { existsSync } from "node:fs";
import { basename } from "node:path";
import { Code, hasCode, listens, type ManagerClient } from "@trimaran/manager";

/** A shim's process, as the shims' own program lists it. */
export interface Shim {
  readonly pid: number;
  readonly shim: string;
  readonly address: string;
  readonly namespace: string;
  readonly id: string;
  readonly bundle: string;
  readonly socket: string;
  readonly version: string;
}

/** Why nobody will end a shim: its engine does not listen, or does not know its container, or has removed its bundle. */
export type Orphaned = "engine gone" | "container gone";

/** What asking an engine takes. */
export type OpenEngine = (address: string, namespace: string) => Promise<ManagerClient>;

/** Our command without a daemon gives its shims the address that its daemon would have. */
const OWN_SOCKET = "trimaran.sock";

/** Look after the owner of each shim; undefined where all is well. Each engine's namespace is asked once. */
export async function findOrphans(shims: readonly Shim[], open: OpenEngine): Promise<Map<Shim, Orphaned | undefined>> {
  const asked = new Map<string, Promise<ReadonlySet<string> | undefined>>();
  const owned = ({ address, namespace }: Shim) => {
    const key = `${address}\0${namespace}`;
    const answer = asked.get(key) ?? knownIds(address, namespace, open);
    asked.set(key, answer);
    return answer;
  };
  const entries = shims.map(async (shim) => [shim, await judge(shim, await owned(shim))] as const);
  return new Map(await Promise.all(entries));
}

function judge(shim: Shim, known: ReadonlySet<string> | undefined): Orphaned | undefined {
  if (!existsSync(shim.bundle)) return "container gone";
  if (known === undefined) return basename(shim.address) === OWN_SOCKET ? undefined : "engine gone";
  return known.has(shim.id) ? undefined : "container gone";
}

/** Ids of containers and sandboxes; undefined if nobody listens. */
async function knownIds(
  address: string,
  namespace: string,
  open: OpenEngine,
): Promise<ReadonlySet<string> | undefined> {
  if (!(await listens(address))) return undefined;
  await using client = await open(address, namespace);
  const [{ containers }, sandboxes] = await Promise.all([client.services.containers.list({}), sandboxIds(client)]);
  return new Set([...containers.map(({ id }) => id), ...sandboxes]);
}

/** containerd 1.6 has no sandboxes. */
async function sandboxIds(client: ManagerClient): Promise<string[]> {
  try {
    return (await client.services.sandboxStore.list({})).list.map(({ sandboxId }) => sandboxId);
  } catch (error) {
    if (hasCode(error, Code.Unimplemented)) return [];
    throw error;
  }
}
