import type { Bundle } from "../bundles/bundle.ts";
import { Code, hasCode } from "../errors/manager-error.ts";
import type { ContainerRecords } from "../metadata/containers.ts";
import type { ExitRecord } from "../shims/delete-shim.ts";

/** Labels of a container that say how its last task ended, once no shim can be asked: the status, and the time in RFC 3339. */
export const EXIT_LABELS = { status: "trimaran/exit-status", at: "trimaran/exited-at" } as const;

/** The labels for one end. */
export function exitLabels({ status, exitedAtNs }: Pick<ExitRecord, "status" | "exitedAtNs">): Record<string, string> {
  const exitedAt = new Date(Number(exitedAtNs / 1_000_000n)).toISOString();
  return { [EXIT_LABELS.status]: String(status), [EXIT_LABELS.at]: exitedAt };
}

/** Keep how a task ended whose shim has died. A container that is gone needs no note. */
export function noteLostExit(containers: ContainerRecords, { namespace, id }: Bundle, exit: ExitRecord): void {
  try {
    const record = containers.get(namespace, id);
    containers.replace(namespace, { ...record, labels: { ...record.labels, ...exitLabels(exit) } });
  } catch (error) {
    if (!hasCode(error, Code.NotFound)) throw error;
  }
}
