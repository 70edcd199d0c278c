export { textLogger } from "../host/logger.ts";
export { type DaemonOptions, DEFAULT_DAEMON_DIRECTORIES } from "./daemon-options.ts";
export { type Daemon, openDaemon } from "./open-daemon.ts";
