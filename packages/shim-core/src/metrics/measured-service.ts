import type { ServiceDescriptor } from "@trimaran/proto";
import type { CallContext, Implementation } from "ttrpc-ts";
import type { Connection } from "../task/service.ts";
import type { TaskMetrics } from "./task-metrics.ts";

type UnaryHandler = (request: { readonly execId?: string }, context: CallContext<Connection>) => unknown;

/** A service of unary methods, each of which is counted. Start and Delete of an exec have names of their own. */
export function measuredService<Service extends ServiceDescriptor>(
  implementation: Implementation<Service, Connection>,
  metrics: TaskMetrics,
): Implementation<Service, Connection> {
  const handlers = Object.entries(implementation as Readonly<Record<string, UnaryHandler>>);
  const measured = handlers.map(([name, handler]): [string, UnaryHandler] => [
    name,
    (request, context) => metrics.measure(methodName(name, request.execId), () => handler(request, context)),
  ]);
  return Object.fromEntries(measured) as Implementation<Service, Connection>;
}

function methodName(name: string, execId: string | undefined): string {
  const snake = name.replaceAll(/(?<=[a-z])[A-Z]+/g, (letters) => `_${letters.toLowerCase()}`);
  return execId !== undefined && execId !== "" && (name === "start" || name === "delete") ? `${snake}_exec` : snake;
}
