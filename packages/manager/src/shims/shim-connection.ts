import { inSpan, sandboxV1, taskV2, taskV3, traceMetadata } from "@trimaran/proto";
import { Client, connectUnix } from "ttrpc-ts";
import { type ShimEndpoint, socketPath } from "./shim-reply.ts";

/** The task service of a shim, v2 and v3 alike: the messages are the same. */
export type TaskService = ReturnType<typeof taskService>;

/** The sandbox service of a shim that keeps pods itself; others answer Unimplemented. */
export type SandboxService = ReturnType<typeof sandboxService>;

function sandboxService(client: Client) {
  return client.service(sandboxV1);
}

function taskService(client: Client, version: 2 | 3) {
  return spanned(client.service(version === 3 ? { ...taskV2, name: taskV3.name } : taskV2));
}

/** Calls as spans, where somebody traces; but for Wait, which takes as long as a container lives. */
function spanned<Service extends object>({ ...service }: Service): Service {
  const calls = Object.entries(service as Readonly<Record<string, (...args: unknown[]) => unknown>>);
  const named = calls.map(([key, call]) => [key, (...args: unknown[]) => inSpan(`shim: ${key}`, () => call(...args))]);
  return { ...service, ...Object.fromEntries(named.filter(([key]) => key !== "wait")) };
}

/** One connection to one shim. Closing it ends no container. */
export class ShimConnection implements Disposable {
  readonly endpoint: ShimEndpoint;
  readonly task: TaskService;
  /** Resolves, never rejects, when the connection is gone, by whichever side. */
  readonly closed: Promise<void>;
  readonly #client: Client;

  private constructor(endpoint: ShimEndpoint, client: Client) {
    this.endpoint = endpoint;
    this.#client = client;
    this.closed = client.closed;
    this.task = taskService(client, endpoint.version);
  }

  /** Throws the socket's error (ECONNREFUSED, ENOENT) if nobody listens there: a shim is dialled once, without retries. */
  static async open(endpoint: ShimEndpoint, namespace: string): Promise<ShimConnection> {
    const metadata = () => ({ "containerd-namespace-ttrpc": namespace, ...traceMetadata() });
    return new ShimConnection(endpoint, new Client(await connectUnix(socketPath(endpoint.address)), { metadata }));
  }

  get sandbox(): SandboxService {
    return sandboxService(this.#client);
  }

  /** The same connection, spoken to as task.v2: for a shim that announces 3 and serves only 2. */
  asVersion2(): ShimConnection {
    return new ShimConnection({ ...this.endpoint, version: 2 }, this.#client);
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}
