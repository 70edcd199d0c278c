import type { ServiceDescriptor } from "@trimaran/proto";
import { type BoundMethod, type BoundService, bindService } from "./bound-service.ts";
import { CallScope } from "./call-scope.ts";
import type { Implementation } from "./implementation.ts";
import { canceled, raceAbort } from "./race-abort.ts";
import type { ServiceCall } from "./service-call.ts";
import type { CallOptions, ServiceClient } from "./service-client.ts";
import { type Implementations, SERVICE_TABLES, type Services } from "./services.ts";
import { toStatus } from "./status.ts";

/**
 * Call an implementation without a socket. Messages go through the codec in both directions, so that neither side can tell:
 * every field is there, nothing is shared, and errors read as they do over the wire.
 */
export function inProcessClient<Service extends ServiceDescriptor>(
  table: Service,
  implementation: Implementation<Service>,
  namespace: string,
): ServiceClient<Service> {
  return clientOf(bindService(table, implementation), namespace) as ServiceClient<Service>;
}

/** All services within the process, for callers of one namespace. */
export function inProcessServices(implementations: Implementations, namespace: string): Services {
  const bound = implementations as Readonly<Record<string, Implementation<ServiceDescriptor>>>;
  const clients = Object.entries<ServiceDescriptor>(SERVICE_TABLES).map(([name, table]) => {
    const implementation = bound[name];
    if (implementation === undefined) throw new TypeError(`${table.name} is missing`);
    return [name, inProcessClient(table, implementation, namespace)];
  });
  return Object.fromEntries(clients) as Services;
}

function clientOf(service: BoundService, namespace: string): object {
  const methods = [...service].map(([key, method]) => {
    const { clientStreaming, serverStreaming } = method.descriptor;
    const request = (given: unknown, signal: AbortSignal) =>
      clientStreaming
        ? requestsOf(method, given as AsyncIterable<object>, signal)
        : recode(method.descriptor.request, given);
    const call = serverStreaming ? stream : unary;
    return [
      key,
      (given: unknown, options: CallOptions = {}) =>
        call(method, (signal) => request(given, signal), options, namespace),
    ];
  });
  return Object.fromEntries(methods);
}

/** Through the codec and back. */
function recode(codec: BoundMethod["descriptor"]["request"], message: unknown): unknown {
  return codec.decode(codec.encode(message as object));
}

/** The caller's messages. Throws when the caller has gone, whatever its source still waits for. */
async function* requestsOf(
  method: BoundMethod,
  requests: AsyncIterable<object>,
  signal: AbortSignal,
): AsyncGenerator<unknown> {
  const source = requests[Symbol.asyncIterator]();
  try {
    for (let next = await raceAbort(source.next(), signal); !next.done; next = await raceAbort(source.next(), signal)) {
      yield recode(method.descriptor.request, next.value);
    }
  } finally {
    source.return?.().catch(() => {});
  }
}

function callOf(namespace: string, options: CallOptions, signal: AbortSignal): ServiceCall {
  return { namespace, lease: options.lease, signal };
}

async function unary(
  method: BoundMethod,
  request: (signal: AbortSignal) => unknown,
  options: CallOptions,
  namespace: string,
): Promise<unknown> {
  using scope = new CallScope(options);
  try {
    if (scope.signal.aborted) throw canceled(scope.signal);
    const call = callOf(namespace, options, scope.signal);
    const answer = await raceAbort((async () => method.handler(request(scope.signal), call))(), scope.signal);
    return recode(method.descriptor.response, answer);
  } catch (error) {
    throw toStatus(error);
  }
}

async function* stream(
  method: BoundMethod,
  request: (signal: AbortSignal) => unknown,
  options: CallOptions,
  namespace: string,
): AsyncGenerator<unknown> {
  using scope = new CallScope(options);
  const { signal } = scope;
  let answers: AsyncIterator<unknown> | undefined;
  try {
    if (signal.aborted) throw canceled(signal);
    const iterable = method.handler(request(signal), callOf(namespace, options, signal)) as AsyncIterable<unknown>;
    answers = iterable[Symbol.asyncIterator]();
    for (
      let next = await raceAbort(answers.next(), signal);
      !next.done;
      next = await raceAbort(answers.next(), signal)
    ) {
      yield recode(method.descriptor.response, next.value);
    }
  } catch (error) {
    throw toStatus(error);
  } finally {
    scope[Symbol.dispose](); // wakes what waits inside of the implementation, so that its `finally` can run
    answers?.return?.().catch(() => {});
  }
}
