import { Code, ManagerError, messageOf, StatusError } from "../errors/manager-error.ts";

/** A step of making a task that containerd names in its errors. */
export type TaskStep = "start shim" | "create shim task" | "delete task";

/** A step has failed: the code, the sentence and the hint of the error beneath it. What has no code is Unknown. */
export class StepError extends ManagerError {
  readonly step: TaskStep;

  constructor(step: TaskStep, cause: unknown) {
    const code = cause instanceof StatusError ? cause.code : Code.Unknown;
    const hint = cause instanceof ManagerError ? cause.hint : undefined;
    super(code, messageOf(cause), { cause, ...(hint !== undefined && { hint }) });
    this.step = step;
  }
}

/** Do the step; its failure is a StepError. */
export async function inStep<T>(step: TaskStep, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new StepError(step, error);
  }
}

/** Do what has steps; a failed one is told as containerd tells it: `failed to create shim task: …`. No shim at all is Unknown. */
export async function namingStep<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof StepError)) throw error;
    const code = error.step === "start shim" ? Code.Unknown : error.code;
    throw new ManagerError(code, `failed to ${error.step}: ${error.message}`, { cause: error });
  }
}
