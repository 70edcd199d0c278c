import { describeFailure, type Program } from "@trimaran/linux";
import type { Host, MonitoredProcess } from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";

const SIGKILL = 9;

/** Have the monitor run one of the pod's helpers, or find it. */
export function launchHelper(host: Host, key: string, program: Program): MonitoredProcess {
  return host.launch(key, {
    program: program.bytes,
    describe: (step, errno) => new StatusError(Code.Unknown, describeFailure(program, step, errno)),
  });
}

/** The same, to its end. Throws what failed, by field; Unavailable with `late` where it is not done in time, which it does not survive. */
export async function runHelper(
  host: Host,
  key: string,
  program: Program,
  { limitMs, late }: { readonly limitMs: number; readonly late: string },
): Promise<void> {
  const process = launchHelper(host, key, program);
  await waitAtMost(limitMs, process.exited());
  if (!process.hasExited) {
    await host.signal(process, SIGKILL).catch(() => undefined); // it has just ended
    throw new StatusError(Code.Unavailable, `${late} in ${limitMs} ms`);
  }
  const { exit } = await process.exited();
  if (exit.kind === "exited" && exit.code === 0) return;
  await process.execed(); // rejects with the step that failed
}

/** Wait for an event, but not for ever. */
export async function waitAtMost(limitMs: number, event: Promise<unknown>): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const limit = setTimeout(resolve, limitMs);
  await Promise.race([event, late]);
  clearTimeout(limit);
}
