/** Told how long a step took, in milliseconds. Names: bootstrap, connect, create, start, exec, delete, shutdown, … */
export type StepListener = (step: string, durationMs: number) => void;

/** Run one step and report its time, also if it fails. */
export async function traced<T>(listener: StepListener, step: string, work: () => Promise<T>): Promise<T> {
  const begun = performance.now();
  try {
    return await work();
  } finally {
    listener(step, performance.now() - begun);
  }
}
