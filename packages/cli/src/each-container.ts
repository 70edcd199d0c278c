import { type ClientTask, findContainer, requireTask } from "@trimaran/manager";
import type { CliContext, ManagerFlags } from "./cli-context.ts";
import { FAILED } from "./exit-code.ts";
import { describeError } from "./report-error.ts";

/** Do something for each id, all of them even if some fail; the exit code is 125 if one did. Prints the ids that worked. */
export async function forEachId(
  context: CliContext,
  verb: string,
  ids: readonly string[],
  work: (id: string) => Promise<string>,
): Promise<number> {
  let failed = false;
  for (const id of ids) {
    try {
      context.process.stdout.write(`${await work(id)}\n`);
    } catch (error) {
      failed = true;
      context.process.stderr.write(`${describeError(verb, error)}\n`);
    }
  }
  return failed ? FAILED : 0;
}

/** Do something with the task of each container, found by its id or the begin of it. */
export async function forEachTask(
  context: CliContext,
  flags: ManagerFlags,
  verb: string,
  ids: readonly string[],
  work: (task: ClientTask) => Promise<void>,
): Promise<number> {
  await using client = await context.openClient(flags, "write");
  return await forEachId(context, verb, ids, async (idOrPrefix) => {
    const { id } = await findContainer(client, idOrPrefix);
    await work(await requireTask(client, id));
    return id;
  });
}
