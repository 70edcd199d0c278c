import type { ServiceDescriptor } from "@trimaran/proto";
import type { Implementation } from "./implementation.ts";
import type { ServiceCall } from "./service-call.ts";

type Handlers = Readonly<Record<string, (request: unknown, call: ServiceCall) => unknown>>;

/** A service that is loaded at its first call: what a command does not use costs it nothing. */
export function lazyImplementation<Service extends ServiceDescriptor>(
  table: Service,
  load: () => Promise<Implementation<Service>>,
): Implementation<Service> {
  const methods = Object.entries(table.methods).map(([key, { serverStreaming }]) => {
    const handler = async () => {
      const loaded = await load();
      return (loaded as Handlers)[key]?.bind(loaded);
    };
    const unary = async (request: unknown, call: ServiceCall) => (await handler())?.(request, call);
    const stream = async function* (request: unknown, call: ServiceCall) {
      yield* (await handler())?.(request, call) as AsyncIterable<unknown>;
    };
    return [key, serverStreaming ? stream : unary];
  });
  return Object.fromEntries(methods) as Implementation<Service>;
}
