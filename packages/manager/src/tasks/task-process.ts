import { type containerd, GO_ZERO_TIME, toTimestamp } from "@trimaran/proto";
import { Code, ManagerError } from "../errors/manager-error.ts";
import { isClosed } from "./closed-connection.ts";
import type { RunningTask } from "./task-registry.ts";

const STATE_TIMEOUT_MS = 2000;

/**
 * A process of a task as its shim has it, in the API's form; `execId` "" is the init process. Within 2 s, or DeadlineExceeded. A
 * shim that is gone has no task: NotFound.
 */
export async function taskProcess(
  { bundle: { id }, connection }: RunningTask,
  execId: string,
): Promise<Omit<containerd.v1.types.Process, "containerId">> {
  try {
    const state = await connection.task.state({ id, execId }, { timeoutMs: STATE_TIMEOUT_MS });
    const { pid, status, stdin, stdout, stderr, terminal, exitStatus } = state;
    const exitedAt = state.exitedAt ?? toTimestamp(GO_ZERO_TIME);
    return { id: execId || id, pid, status, stdin, stdout, stderr, terminal, exitStatus, exitedAt };
  } catch (error) {
    if (!isClosed(error)) throw error;
    throw new ManagerError(Code.NotFound, `task ${id} not found`, { cause: error });
  }
}
