import { Code, ManagerError } from "../errors/manager-error.ts";

/** Labels that say which ids of the host are those of a container's user namespace. */
export const UID_MAPPING = "containerd.io/snapshot/uidmapping";
export const GID_MAPPING = "containerd.io/snapshot/gidmapping";

/** The ids that root of a user namespace has on the host. */
export interface MappedRoot {
  readonly uid: number;
  readonly gid: number;
}

const RANGE = /^(\d{1,10}):(\d{1,10}):(\d{1,10})$/;

/** From a snapshot's labels; undefined if they have no mapping. Throws InvalidArgument for half of one, or one without root. */
export function mappedRoot(labels: Readonly<Record<string, string>>): MappedRoot | undefined {
  const [uids, gids] = [labels[UID_MAPPING], labels[GID_MAPPING]];
  if (uids === undefined && gids === undefined) return undefined;
  return { uid: hostRoot(UID_MAPPING, uids), gid: hostRoot(GID_MAPPING, gids) };
}

/** `container:host:length`, a comma separated list of them. */
function hostRoot(label: string, mapping = ""): number {
  for (const range of mapping.split(",")) {
    const [, inside, outside, length] = RANGE.exec(range) ?? [];
    if (inside === undefined) break;
    if (Number(inside) === 0 && Number(length) > 0 && Number(outside) < 2 ** 32 - 1) return Number(outside);
  }
  const text = JSON.stringify(mapping);
  throw new ManagerError(Code.InvalidArgument, `labels[${JSON.stringify(label)}] ${text}: no range for id 0`);
}
