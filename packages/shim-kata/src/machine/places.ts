import { createHash } from "node:crypto";
import { join } from "node:path";

/** Where a pod's machine has its files. */
export interface PodPlaces {
  readonly podId: string;
  /** Of its own, 0700, and short: sockets are in it. */
  readonly directory: string;
  /** The machine's own folder below it: made anew for each attempt to start it. */
  readonly machine: string;
  /** There once the machine was ready: an earlier attempt may have been cut short. */
  readonly readyMark: string;
  /** Says whose machine it is: the bundle of the pod's first container. */
  readonly ownerMark: string;
  /** Monitor's keys. */
  readonly key: string;
  readonly templateKey: string;
}

/** `runDirectory`: of this installation, such as /run/trimaran. The pod's name is hashed, because a socket's path must be short. */
export function podPlaces(runDirectory: string, namespace: string, podId: string): PodPlaces {
  const name = createHash("sha256").update(`${namespace}/${podId}`).digest("hex").slice(0, 16);
  return { ...placesBelow(runDirectory, name), podId, key: `vm/${podId}`, templateKey: `vm-template/${podId}` };
}

/** Where the folders of all pods are. */
export function podsDirectory(runDirectory: string): string {
  return join(runDirectory, "kata");
}

/** Of a pod whose folder has this name. */
export function placesBelow(runDirectory: string, name: string): Omit<PodPlaces, "podId" | "key" | "templateKey"> {
  const directory = join(podsDirectory(runDirectory), name);
  return {
    directory,
    machine: join(directory, "vm"),
    readyMark: join(directory, "ready"),
    ownerMark: join(directory, "owner.json"),
  };
}

/** 32 hex digits, the same each time: a pod's machine is told it again after a restart of the task server. */
export function machineIdOf(namespace: string, podId: string): string {
  return createHash("sha256").update(`machine-id ${namespace}/${podId}`).digest("hex").slice(0, 32);
}
