import { inSpan } from "@trimaran/proto";

/** Told how long a step took, in milliseconds. Names: bootstrap, connect, create, start, exec, delete, shutdown, … */
export type StepListener = (step: string, durationMs: number) => void;

/** Run one step and report its time, also if it fails. Where the call is traced, it is a span. */
export async function traced<T>(listener: StepListener, step: string, work: () => Promise<T>): Promise<T> {
  const begun = performance.now();
  try {
    return await inSpan(step, work);
  } finally {
    listener(step, performance.now() - begun);
  }
}
