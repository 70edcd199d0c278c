import { Cgroup, hookState, isNoCgroup, parseSpec, type Spec } from "@trimaran/linux";
import type { Context } from "./context.ts";
import { isAlive } from "./process-identity.ts";
import type { ContainerRecord } from "./store.ts";

/** As `state` says it. "paused" is runc's own word. */
export type Status = "created" | "running" | "paused" | "stopped";

/** A container as it is now. */
export interface Found {
  readonly record: ContainerRecord;
  readonly status: Status;
  readonly cgroup: Cgroup;
  /** Parsed when it is asked for. */
  spec(): Spec;
}

/** Throws NoContainer. */
export function find(context: Context, id: string): Found {
  const record = context.store.read(id);
  const cgroup = Cgroup.open(context.kernel.cgroups, record.cgroup, context.kernel.tools);
  return {
    record,
    cgroup,
    status: statusOf(context, record, cgroup),
    spec: () => parseSpec(context.store.config(id)),
  };
}

function statusOf({ store }: Context, record: ContainerRecord, cgroup: Cgroup): Status {
  if (!isAlive(record.init)) return "stopped";
  if (store.isWaiting(record.id)) return "created";
  return isFrozen(cgroup) ? "paused" : "running";
}

function isFrozen(cgroup: Cgroup): boolean {
  try {
    return cgroup.isFrozen();
  } catch {
    return false; // no freezer on this host: nothing can be paused
  }
}

/** Throws where a verb needs a cgroup, and the container was made by somebody who may not make one. */
export function expectCgroup({ record }: Found, verb: string): void {
  if (isNoCgroup(record.cgroup))
    throw new Error(
      `cannot ${verb} a container that has no cgroup: ${record.id} was made without the right to make one`,
    );
}

/** Throws unless the container is in one of these states. The words are runc's, which callers match. */
export function expect(found: Found, verb: string, ...states: readonly Status[]): void {
  if (!states.includes(found.status)) throw new Error(`cannot ${verb} a container that is ${found.status}`);
}

/** The OCI state, for hooks. */
export function stateFor({ id, bundle, init }: ContainerRecord, status: "running" | "stopped", spec: Spec): string {
  return hookState({ id, bundle, spec }, status, status === "stopped" ? undefined : init.pid);
}
