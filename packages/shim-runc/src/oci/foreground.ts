import { exitStatus, type MonitoredProcess } from "@trimaran/shim-core";
import { resizeProgram } from "./programs.ts";
import { signalProgramFor } from "./signals.ts";

/** What `run` and `exec` do while their process runs: signals go on to it, and our terminal is its terminal. `terminal`: in whose slots that is. */
export async function attend(process: MonitoredProcess, terminal: MonitoredProcess | undefined): Promise<number> {
  using _signals = forwardSignals(process);
  using _terminal = terminal === undefined ? undefined : lendTerminal(terminal);
  const { exit } = await process.exited();
  await process.drained();
  await terminal?.drained();
  return exitStatus(exit);
}

const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCONT"] as const;

function forwardSignals(child: MonitoredProcess): Disposable {
  const listener = (name: NodeJS.Signals) => {
    child.run(signalProgramFor(name)).catch(() => undefined); // it has ended in this moment
  };
  for (const name of FORWARDED) process.on(name, listener);
  return {
    [Symbol.dispose]() {
      for (const name of FORWARDED) process.off(name, listener);
    },
  };
}

/** Keys as they are typed, and the size of ours; given back at the end. */
function lendTerminal(child: MonitoredProcess): Disposable {
  const { stdin, stdout } = process;
  const resize = () => {
    if (stdout.isTTY) child.run(resizeProgram(stdout.columns, stdout.rows)).catch(() => undefined);
  };
  if (stdin.isTTY) stdin.setRawMode(true);
  process.on("SIGWINCH", resize);
  resize();
  return {
    [Symbol.dispose]() {
      process.off("SIGWINCH", resize);
      if (stdin.isTTY) stdin.setRawMode(false);
    },
  };
}
