import { mkdir } from "node:fs/promises";
import { tasksV1 } from "@trimaran/proto";
import type { Bundle } from "../bundles/bundle.ts";
import { messageOf } from "../errors/manager-error.ts";
import { EventExchange } from "../events/event-exchange.ts";
import { EventsServer } from "../events/events-server.ts";
import { bindService } from "../grpc/bound-service.ts";
import { serveGrpc } from "../grpc/grpc-server.ts";
import { once } from "../host/once.ts";
import { loadSyscalls } from "../host/syscalls.ts";
import { tasksService } from "../services/tasks-service.ts";
import { recoverTasks } from "../tasks/recover-tasks.ts";
import type { ShimHost } from "../tasks/task-host.ts";
import { TaskRegistry } from "../tasks/task-registry.ts";
import type { DaemonOptions } from "./daemon-options.ts";
import { lockDirectory } from "./directory-lock.ts";
import { shimLogSink } from "./log-shim.ts";

/** A daemon that serves. Disposing stops it; tasks live on. */
export interface Daemon extends AsyncDisposable {
  readonly address: string;
}

/**
 * Serve containerd's API on the directories: take them, find the tasks of an earlier daemon, listen. Throws FailedPrecondition if
 * another daemon has them, InvalidArgument for a bad address.
 */
export async function openDaemon(options: DaemonOptions): Promise<Daemon> {
  const { directories: dirs, address, log } = options;
  await using undo = new AsyncDisposableStack();
  const syscalls = once(loadSyscalls);
  for (const directory of new Set([dirs.root, dirs.state])) {
    await mkdir(directory, { recursive: true, mode: 0o711 });
    undo.use(await lockDirectory(directory, syscalls()));
  }
  const events = new EventExchange();
  const ttrpcAddress = `${address}.ttrpc`;
  const ttrpc = undo.use(new EventsServer(ttrpcAddress, events));
  await ttrpc.ensure(); // shims of an earlier daemon have waited with their events
  const host: ShimHost = {
    dirs,
    parent: { ...options, grpcAddress: address, ttrpcAddress },
    shimDirectories: options.shimDirectories,
    syscalls,
    serveEvents: async () => {},
    trace: () => {},
  };
  const place = ({ namespace, id }: Bundle) => ({ namespace, id });
  const registry = undo.use(
    new TaskRegistry(host, {
      publish: (event) => events.publish(event),
      failed: (msg, bundle, error) => log.error(msg, { ...place(bundle), error: messageOf(error) }),
    }),
  );
  await recoverTasks(host, registry, {
    runtimeOf: () => undefined,
    logOf: ({ namespace, id }) => shimLogSink(log, namespace, id),
    lost: (bundle, error) => log.warning("shim is gone", { ...place(bundle), error: error === undefined ? undefined : messageOf(error) }),
  });
  const tasks = tasksService({
    dirs,
    registry,
    containers: {
      get: () => {
        throw new Error("not yet");
      },
    },
    checkpoints: { take: async () => [], restore: async () => undefined },
    logOf: (namespace, id) => shimLogSink(log, namespace, id),
  });
  undo.use(
    await serveGrpc({
      path: address,
      services: [bindService(tasksV1, tasks)],
      report: (error, method) => log.error("internal error", { method, error: stackOf(error) }),
    }),
  );
  log.info("serving", { address });
  const owned = undo.move();
  return { address, [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose]() };
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
