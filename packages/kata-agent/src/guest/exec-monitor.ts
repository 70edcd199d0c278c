import { spawn } from "node:child_process";
import { closeSync, constants, openSync } from "node:fs";
import { findPort } from "../channel/port.ts";

/**
 * Start the monitor that the host itself sends execs to, over the port exec.0: nothing of ours has a part in them. Throws where there is no such port. Source:
 * packages/monitor/PROTOCOL.md, section 7.
 */
export function startExecMonitor(monitor: string, onEnd: () => void): void {
  const port = openSync(findPort("exec.0"), constants.O_RDWR | constants.O_NONBLOCK);
  const env = {
    PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
    TRIMARAN_MONITOR: "execs",
    TRIMARAN_PORT: "1",
    TRIMARAN_SHIM: "trimaran-execs",
  };
  try {
    const child = spawn(monitor, [], { env, cwd: "/", stdio: ["ignore", "ignore", "inherit", port] });
    child.once("error", onEnd).once("exit", onEnd);
  } finally {
    closeSync(port);
  }
}
