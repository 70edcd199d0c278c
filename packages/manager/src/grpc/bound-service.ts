import type { MethodDescriptor, ServiceDescriptor } from "@trimaran/proto";
import type { Implementation } from "./implementation.ts";
import type { ServiceCall } from "./service-call.ts";

/** One method with what serves it. The request's and the answer's types are known only to the table. */
export interface BoundMethod {
  /** `/package.Service/Method`. */
  readonly path: string;
  readonly descriptor: MethodDescriptor<unknown, unknown>;
  /** Gets one request or a stream of them, gives one answer or a stream of them, as the descriptor says. */
  readonly handler: (request: unknown, call: ServiceCall) => unknown;
}

/** One service with what serves it, by the table's keys. */
export type BoundService = ReadonlyMap<string, BoundMethod>;

/** Tie an implementation to its table: after this, types no longer matter. Throws TypeError if a method is missing. */
export function bindService<Service extends ServiceDescriptor>(
  table: Service,
  implementation: Implementation<Service>,
): BoundService {
  const handlers = implementation as Readonly<Record<string, unknown>>;
  return new Map(
    Object.entries(table.methods).map(([key, descriptor]) => {
      const handler = handlers[key];
      if (typeof handler !== "function") throw new TypeError(`${table.name}: ${key} is missing`);
      const bound: BoundMethod = {
        path: `/${table.name}/${descriptor.name}`,
        descriptor,
        handler: handler.bind(implementation),
      };
      return [key, bound];
    }),
  );
}
