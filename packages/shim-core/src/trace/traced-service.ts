import { callTrace, type ServiceDescriptor, traceCall } from "@trimaran/proto";
import type { CallContext, Implementation } from "ttrpc-ts";
import type { Connection } from "../task/service.ts";
import { TASK_SERVER } from "./exporters.ts";

/** Calls that change nothing are worth a span of the caller's trace, and no trace of their own. */
const LOOKS: ReadonlySet<string> = new Set(["state", "pids", "connect", "stats", "closeIO", "resizePty", "shutdown"]);
/** They take as long as a container lives: that is no phase of anything. */
const WAITS: ReadonlySet<string> = new Set(["wait", "waitSandbox"]);

type Handler = (request: unknown, context: CallContext<Connection>) => unknown;

/** The same service, each of whose calls is a span where somebody wants it. Only for unary calls. */
export function tracedService<Service extends ServiceDescriptor>(
  implementation: Implementation<Service, Connection>,
): Implementation<Service, Connection> {
  const handlers = Object.entries(implementation as Readonly<Record<string, Handler>>);
  return Object.fromEntries(
    handlers.map(([key, handler]) => [key, WAITS.has(key) ? handler : traced(key, handler)]),
  ) as Implementation<Service, Connection>;
}

function traced(key: string, handler: Handler): Handler {
  const canBegin = !LOOKS.has(key);
  return (request, context) => {
    const { exporter } = context.data.pod;
    const { metadata, method: name } = context;
    const call = { name, process: TASK_SERVER, exporter, canBegin, ...callTrace((key) => metadata.get(key)?.[0]) };
    return traceCall({ ...call, attributes: attributesOf(request) }, () => handler(request, context));
  };
}

function attributesOf(request: unknown): Record<string, string> {
  const { id, execId, sandboxId } = (request ?? {}) as { id?: string; execId?: string; sandboxId?: string };
  return {
    ...(id === undefined ? {} : { "container.id": id }),
    ...(execId ? { "trimaran.exec_id": execId } : {}),
    ...(sandboxId ? { "trimaran.sandbox_id": sandboxId } : {}),
  };
}
