import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { Code, StatusError } from "ttrpc-ts";
import { type PodPlaces, placesBelow, podsDirectory } from "./places.ts";

/** Whose a machine is. */
export interface Owner {
  readonly namespace: string;
  readonly podId: string;
  /** Of the pod's first container. */
  readonly bundle: string;
}

/** Write it, before anything of the machine is made. */
export function writeOwner({ ownerMark }: PodPlaces, owner: Owner): void {
  writeFileSync(ownerMark, JSON.stringify(owner));
}

/** Undefined where nothing was made yet. */
export function readOwner({ ownerMark }: Pick<PodPlaces, "ownerMark">): Owner | undefined {
  try {
    const { namespace, podId, bundle } = JSON.parse(readFileSync(ownerMark, "utf8"));
    return { namespace: String(namespace), podId: String(podId), bundle: String(bundle) };
  } catch {
    return undefined;
  }
}

/** A machine as people see it. */
export interface ListedPod extends Owner {
  readonly places: Pick<PodPlaces, "directory" | "machine" | "ownerMark">;
}

/** The machines of an installation, by name. */
export function listPods(runDirectory: string): ListedPod[] {
  const places = namesIn(podsDirectory(runDirectory)).map((name) => placesBelow(runDirectory, name));
  const pods = places.flatMap((each) => {
    const owner = readOwner(each);
    return owner === undefined ? [] : [{ ...owner, places: each }];
  });
  return pods.sort((a, b) => `${a.namespace}/${a.podId}`.localeCompare(`${b.namespace}/${b.podId}`));
}

/** The machine that `name` means: NAMESPACE/ID, an id, or how exactly one begins. Throws NotFound, and InvalidArgument naming those that it may mean. */
export function findPod(runDirectory: string, name: string): ListedPod {
  const pods = listPods(runDirectory);
  const names = ({ namespace, podId }: Owner) => [podId, `${namespace}/${podId}`];
  const exact = pods.filter((pod) => names(pod).includes(name));
  const found = exact.length > 0 ? exact : pods.filter((pod) => names(pod).some((each) => each.startsWith(name)));
  const [pod, ...others] = found;
  if (pod === undefined)
    throw new StatusError(Code.NotFound, `pod ${JSON.stringify(name)}: no machine of that name runs`);
  if (others.length === 0) return pod;
  const all = found.map(({ namespace, podId }) => `${namespace}/${podId}`).join(", ");
  throw new StatusError(Code.InvalidArgument, `pod ${JSON.stringify(name)}: may be ${all}`);
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // there was no machine since the host has booted
  }
}
