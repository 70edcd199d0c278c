import { readFileSync, writeFileSync } from "node:fs";
import { containerd } from "@trimaran/proto";
import { type Breakage, edited, request } from "./breakage.ts";

/** Containerd's variable reaches the container. */
function addToEnvironment(bundle: string, variable: string): void {
  const path = `${bundle}/config.json`;
  const config = JSON.parse(readFileSync(path, "utf8"));
  config.process.env.push(variable);
  writeFileSync(path, JSON.stringify(config));
}

export const BOOTSTRAP: Readonly<Record<string, Breakage>> = {
  "text: no address file": { caughtBy: ["start.text"], hooks: { start: { removesAddressFile: true } } },
  "json: version 4": {
    caughtBy: ["start.json"],
    hooks: {
      start: { stdout: (_, address) => Buffer.from(JSON.stringify({ version: 4, address, protocol: "ttrpc" })) },
    },
  },
  "protobuf: version 9": {
    caughtBy: ["start.protobuf"],
    hooks: {
      start: {
        stdout: (_, address) =>
          Buffer.from(
            containerd.runtime.bootstrap.v1.BootstrapResult.encode({ version: 9, address, protocol: "ttrpc" }),
          ),
      },
    },
  },
  "start: any options are an error": {
    caughtBy: ["start.empty-options"],
    hooks: { start: { stdin: (bytes) => (bytes.length === 0 ? bytes : Buffer.from("no options")) } },
  },
  "start: only -x v": {
    caughtBy: ["start.flag-forms"],
    hooks: { start: { flags: (argv) => argv.map((word) => word.replace(/^--/, "---")) } },
  },
  "start: a warning": { caughtBy: ["start.quiet"], hooks: { start: { stderr: "warning: odd\n" } } },
  "start: the daemon keeps the pipe": { caughtBy: ["start.lets-go"], hooks: { start: { holdsPipes: true } } },
  "start: failures are swallowed": { caughtBy: ["start.fails-readably"], hooks: { start: { swallowsFailure: true } } },
  "start: a daemon for each": {
    caughtBy: ["start.twice", "start.pod", "start.socket"],
    hooks: { start: { ignoresOthers: true } },
  },
  "start: an old socket is in the way": {
    caughtBy: ["start.stale-socket"],
    hooks: { start: { refusesOldSocket: true } },
  },
  "start: a socket for everybody": { caughtBy: ["start.socket"], hooks: { start: { socketMode: 0o666 } } },
  // the proxy does not look at socket_dir
  "start: no socket_dir": { caughtBy: ["start.socket-dir"], hooks: {} },
  "delete: fails": {
    caughtBy: ["delete.never-started", "delete.daemon-dead", "delete.before-create"],
    hooks: { delete: { fails: true } },
  },
  "delete: does nothing": { caughtBy: ["delete.running", "delete.cleans"], hooks: { delete: { isNothing: true } } },
  "delete: a wrong status": {
    caughtBy: ["delete.running", "restart.shim-killed"],
    hooks: {
      delete: {
        stdout: (bytes) => {
          const { DeleteResponse } = containerd.task.v2;
          return Buffer.from(DeleteResponse.encode({ ...DeleteResponse.decode(bytes), exitStatus: 1 }));
        },
      },
    },
  },
  "delete: a grandchild keeps the pipes": { caughtBy: ["delete.lets-go"], hooks: { delete: { holdsPipes: true } } },
  "delete: takes its time": { caughtBy: ["delete.never-started"], hooks: { delete: { delayMs: 3000 } } },
  "delete: keeps the socket": {
    caughtBy: ["delete.before-create", "restart.shim-killed", "faults.kill-during-create"],
    hooks: { delete: { keepsSocket: true } },
  },
  "info: no name": {
    caughtBy: ["info.answer"],
    hooks: {
      info: (stdout, word) => (word === "-info" ? Buffer.from(containerd.types.RuntimeInfo.encode({})) : stdout),
    },
  },
  "version: silent": {
    caughtBy: ["info.version"],
    hooks: { info: (stdout, word) => (word === "-v" ? Buffer.alloc(0) : stdout) },
  },
  "daemon: in the caller's group": { caughtBy: ["daemon.process"], hooks: { daemon: { isInGroup: true } } },
  "daemon: the caller's OOM score": { caughtBy: ["daemon.oom-score"], hooks: { daemon: { keepsOomScore: true } } },
  "daemon: ends when its client goes": {
    caughtBy: ["restart.running", "restart.exit-meanwhile", "restart.waiting-client-gone", "daemon.log-unread"],
    hooks: { daemon: { endsWithClient: true } },
  },
  "daemon: SIGTERM and State": {
    caughtBy: ["daemon.sigterm"],
    hooks: { daemon: { ignoresTerm: true }, ...edited("State", () => ({ status: 3 })) },
  },
  "environment: containerd's own": {
    caughtBy: ["daemon.environment"],
    hooks: request("Create", ({ bundle }) => addToEnvironment(String(bundle), "NOTIFY_SOCKET=/run/shim-check")),
  },
};
