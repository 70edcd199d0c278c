import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { DEFAULT_DIRECTORIES, openClient } from "@trimaran/manager";
import ownPackage from "../package.json" with { type: "json" };
import type { CliContext, SignalSource } from "./cli-context.ts";
import { runCli } from "./run-cli.ts";

const here = dirname(fileURLToPath(import.meta.url));
// The bundle lies in PREFIX/lib/trimaran; the source in packages/cli/src of a checkout.
const binDirectory = import.meta.url.endsWith(".ts") ? join(here, "../../../build/bin") : join(here, "../../bin");

/** 128 + SIGPIPE, as shells have it. */
const SIGPIPE_EXIT = 141;

const signals: SignalSource = {
  listen(names, listener) {
    for (const name of names) process.on(name, listener);
    return {
      [Symbol.dispose]: () => {
        for (const name of names) process.off(name, listener);
      },
    };
  },
};

const context: Omit<CliContext, "setExitCode"> = {
  process,
  stdin: process.stdin,
  environment: process.env,
  binDirectory,
  nodeBinary: process.execPath,
  signals,
  openClient: (flags, access) =>
    openClient({
      directories: {
        root: flags.root ?? process.env.TRIMARAN_ROOT ?? DEFAULT_DIRECTORIES.root,
        state: flags.state ?? process.env.TRIMARAN_MANAGER_STATE ?? DEFAULT_DIRECTORIES.state,
      },
      namespace: flags.namespace ?? "default",
      shimDirectories: [binDirectory, ...(process.env.PATH ?? "").split(":")],
      environment: process.env,
      publishBinary: join(binDirectory, "trimaran"),
      address: flags.address ?? process.env.TRIMARAN_ADDRESS,
      access,
      debug: flags.debug ?? false,
      version: ownPackage.version,
    }),
  openDaemon: async (flags) => {
    const { DEFAULT_DAEMON_DIRECTORIES, openDaemon, textLogger } = await import("@trimaran/manager/daemon");
    const { TASK_SERVERS } = await import("@trimaran/manager/metrics");
    const state = flags.state ?? DEFAULT_DAEMON_DIRECTORIES.state;
    return openDaemon({
      directories: { root: flags.root ?? DEFAULT_DAEMON_DIRECTORIES.root, state },
      address: flags.address ?? join(state, "trimaran.sock"),
      shimDirectories: [...(process.env.PATH ?? "").split(":"), binDirectory],
      environment: process.env,
      publishBinary: join(binDirectory, "trimaran"),
      debug: flags.debug ?? false,
      version: ownPackage.version,
      metrics: flags.metrics && { address: flags.metrics, taskServers: process.env.TRIMARAN_STATE ?? TASK_SERVERS },
      log: textLogger((line) => process.stderr.write(line), flags.debug ?? false),
    });
  },
};

// Who read our output has gone (`trimaran ps | head -1`): the end that SIGPIPE makes of other programs, which Node ignores. Where the output
// is a container's it is that one's affair, and it has a listener of its own.
process.stdout.on("error", (error) => {
  if (!("code" in error) || error.code !== "EPIPE") throw error;
  if (process.stdout.listenerCount("error") === 1) process.exit(SIGPIPE_EXIT);
});

const exitCode = await runCli(process.argv.slice(2), context);
// An open shim connection or a stdin that somebody still holds must not keep us; what was written must be out.
await new Promise((resolve) => process.stdout.write("", resolve));
process.exit(exitCode);
