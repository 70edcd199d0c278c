import { WriteStream } from "node:tty";
import type { Task } from "@trimaran/manager";
import type { CliContext } from "../cli-context.ts";

/**
 * Raw mode on our terminal, and its size to the container's, now and at each change, until disposed. Without a terminal of our
 * own there is nothing to do.
 */
export async function connectTerminal(context: CliContext, task: Task, execId: string): Promise<Disposable> {
  using undo = new DisposableStack();
  const { stdin } = context;
  const { stdout } = context.process;
  if (stdin.isTTY) {
    stdin.setRawMode(true);
    undo.defer(() => stdin.setRawMode(false));
  }
  if (stdout instanceof WriteStream) {
    const resize = () => task.resize({ columns: stdout.columns, rows: stdout.rows }, execId).catch(() => {});
    stdout.on("resize", resize);
    undo.defer(() => stdout.off("resize", resize));
    await resize();
  }
  return undo.move();
}
