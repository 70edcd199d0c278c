import { writeSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { serveHost } from "./agent.ts";
import { findPort, Port } from "./channel/port.ts";
import { ListeningSocket } from "./channel/socket.ts";
import { startExecMonitor } from "./guest/exec-monitor.ts";
import { makeFirstCgroup } from "./guest/first-cgroup.ts";
import { NoGuest } from "./guest/guest.ts";
import { Machine } from "./guest/machine.ts";

/** The agent's package. */
const VERSION = "0.1.0";

const { values } = parseArgs({
  options: {
    socket: { type: "string" }, // without: the port, and a machine to look after
    monitor: { type: "string", default: join(import.meta.dirname, "monitor") },
    directory: { type: "string", default: "/run/trimaran-agent" },
    debug: { type: "boolean", default: false },
  },
});
const end = (): never => process.exit(0);
const isInit = values.socket === undefined;
const guest = isInit ? new Machine(import.meta.dirname, end) : new NoGuest(end);
const conversations = values.socket === undefined ? new Port(findPort("agent.0")) : new ListeningSocket(values.socket);
void serve();

/** A function, because a program of CommonJS has no `await` outside of one. */
async function serve(): Promise<void> {
  if (isInit) {
    await makeFirstCgroup();
    startExecMonitor(values.monitor, () => guest.powerOff());
  }
  const pod = await serveHost({
    version: VERSION,
    guest,
    conversations,
    monitor: values.monitor,
    directory: values.directory,
    write: (line) => void writeSync(2, line),
    debug: values.debug,
    onEnd: () => guest.powerOff(),
  });
  if (!isInit) process.once("SIGTERM", () => void pod[Symbol.asyncDispose]().then(end));
}
