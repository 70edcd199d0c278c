import { mkdirSync } from "node:fs";
import { agentV1 } from "@trimaran/proto";
import { LocalPod, Logger } from "@trimaran/shim-core";
import type { Conversations } from "./channel/conversations.ts";
import type { Guest } from "./guest/guest.ts";
import { LogBuffer } from "./log-buffer.ts";
import { OomNews } from "./oom.ts";
import { Containers } from "./processes/containers.ts";
import { GuestRuntime } from "./processes/guest-runtime.ts";
import { agentService } from "./service.ts";

/** What an agent works with. */
export interface AgentOptions {
  readonly version: string;
  readonly guest: Guest;
  readonly conversations: Conversations;
  /** The monitor's binary. */
  readonly monitor: string;
  /** For sockets, bundles and FIFOs: of its own, and short. */
  readonly directory: string;
  /** Gets every line that is logged, besides the host. */
  readonly write: (line: string) => void;
  readonly debug: boolean;
  /** Its monitor has ended, and with it all that it ran. */
  readonly onEnd: () => void;
}

/** Serve the host: shim-runc's engine, a monitor, and the calls that a guest needs besides. Rejects where the monitor can't be started. */
export async function serveHost(options: AgentOptions): Promise<LocalPod> {
  const { directory, conversations, version, guest } = options;
  mkdirSync(`${directory}/cache`, { recursive: true, mode: 0o700 });
  const lines = new LogBuffer();
  const log = new Logger(
    (line) => {
      lines.add(line.trimEnd());
      options.write(line);
    },
    { debug: options.debug },
  );
  const oom = new OomNews();
  const runtime = new GuestRuntime();
  const pod = await LocalPod.open({
    runtime,
    log,
    monitor: options.monitor,
    directory,
    cacheDirectory: `${directory}/cache`,
    namespace: "guest",
    onEvent: (envelope) => oom.take(envelope),
    onEnd: options.onEnd,
  });
  const containers = new Containers(pod, directory, runtime.adopted);
  pod.server.register(agentV1, agentService({ version, pod, containers, oom, log: lines, guest }));
  log.info("agent ready", { version });
  await conversations.begin((channel) => pod.serve(channel));
  return pod;
}
