import { WriteStream } from "node:tty";
import type { ClientTask, ManagerClient } from "@trimaran/manager";
import type { CliContext } from "../cli-context.ts";

/** Raw mode for our terminal until disposed, if stdin is one. Due before the process starts: its first words are raw already. */
export function makeTerminalRaw({ stdin }: CliContext, client: ManagerClient): Disposable {
  return stdin.isTTY ? client.rawTerminal(stdin.fd) : { [Symbol.dispose]: () => {} };
}

/** Give the container's terminal the size of ours, now and at each change until disposed, if stdout is one. */
export async function followSize(context: CliContext, task: ClientTask, execId: string): Promise<Disposable> {
  const { stdout } = context.process;
  if (!(stdout instanceof WriteStream)) return { [Symbol.dispose]: () => {} };
  const resize = () => task.resize({ columns: stdout.columns, rows: stdout.rows }, execId).catch(() => {});
  stdout.on("resize", resize);
  await resize();
  return { [Symbol.dispose]: () => void stdout.off("resize", resize) };
}
