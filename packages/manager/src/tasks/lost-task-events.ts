import { ANY, containerd, toTimestamp } from "@trimaran/proto";
import type { Bundle } from "../bundles/bundle.ts";
import type { ShimEvent } from "../events/event-exchange.ts";
import type { ExitRecord } from "../shims/delete-shim.ts";

/** The exit and the deletion of a task whose shim has died before it could publish them. */
export function lostTaskEvents({ namespace, id }: Bundle, exit: ExitRecord): ShimEvent[] {
  const timestampNs = BigInt(Date.now()) * 1_000_000n;
  const what = { containerId: id, id, pid: exit.pid, exitStatus: exit.status, exitedAt: toTimestamp(exit.exitedAtNs) };
  const { TaskExit, TaskDelete } = containerd.events;
  return [
    { namespace, topic: "/tasks/exit", timestampNs, typeUrl: ANY.taskExit, payload: TaskExit.encode(what) },
    { namespace, topic: "/tasks/delete", timestampNs, typeUrl: ANY.taskDelete, payload: TaskDelete.encode(what) },
  ];
}
