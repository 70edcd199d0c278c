import { randomBytes } from "node:crypto";
import { dirname, join } from "node:path";
import { type HttpAddress, TASK_SERVERS } from "@trimaran/manager/metrics";
import type { ManagerFlags } from "../cli-context.ts";
import { command } from "../report-error.ts";
import { serveUi } from "../ui/serve-ui.ts";

export interface UiFlags extends ManagerFlags {
  readonly listen: HttpAddress;
}

const TOKEN_BYTES = 24;

/** `trimaran ui`. The token is behind a #, so no browser sends it to a server, in a Referer or into a log. */
export const ui = command<UiFlags, []>("ui", async (context, flags) => {
  const token = randomBytes(TOKEN_BYTES).toString("base64url");
  const stop = Promise.withResolvers<unknown>();
  using _listening = context.signals.listen(["SIGTERM", "SIGINT"], stop.resolve);
  await using server = await serveUi({
    address: flags.listen,
    token,
    pageDirectory: join(dirname(context.binDirectory), "lib/trimaran/ui"),
    taskServers: context.environment.TRIMARAN_STATE ?? TASK_SERVERS,
    openClient: () => context.openClient(flags, "read"),
  });
  context.process.stdout.write(`${server.url}/#token=${token}\n`);
  await stop.promise;
  return 0;
});
