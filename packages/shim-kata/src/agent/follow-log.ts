import type { Logger } from "@trimaran/shim-core";
import type { AgentConnection } from "./connection.ts";
import { guestText } from "./guest-text.ts";

/** What one answer may bring; the agent keeps no more. */
const LINES_LIMIT = 1000;

/**
 * Bring what the agent logs into the shim's log, until the guest's end. A line is a value there, never a line of its own: it can't pretend to be ours. After a
 * restart of the task server those that nobody has acknowledged come.
 */
export async function followLog(agent: AgentConnection, log: Logger): Promise<void> {
  try {
    for (let after = 0n; ; ) {
      const request = { after };
      const { last, lines } = await agent.call((services) => services.agent.readLog(request), { limitMs: 0 });
      if (last <= after || lines.length === 0 || lines.length > LINES_LIMIT)
        throw agent.lie(`${lines.length} log lines up to ${last}, after ${after}`);
      for (const line of lines) log.info("guest", { guest: guestText(line) });
      after = last;
    }
  } catch (error) {
    log.debug("the guest's log has ended", { error });
  }
}
