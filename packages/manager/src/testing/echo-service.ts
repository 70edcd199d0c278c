import { google, type google as googleProto, type MethodDescriptor } from "@trimaran/proto";
import { bindService } from "../grpc/bound-service.ts";
import { GrpcClient } from "../grpc/grpc-client.ts";
import { serveGrpc } from "../grpc/grpc-server.ts";
import type { Implementation } from "../grpc/implementation.ts";
import { inProcessClient } from "../grpc/in-process.ts";
import type { ServiceClient } from "../grpc/service-client.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

type Any = googleProto.protobuf.Any;

function method<Client extends boolean, Server extends boolean>(
  name: string,
  clientStreaming: Client,
  serverStreaming: Server,
): MethodDescriptor<Any, Any, Client, Server> {
  const { Any } = google.protobuf;
  return { name, request: Any, response: Any, clientStreaming, serverStreaming };
}

/** A service with a method of each kind, for tests of what carries services. */
export const echoService = {
  name: "test.Echo",
  methods: { one: method("One", false, false), many: method("Many", false, true), both: method("Both", true, true) },
} as const;
/** What a test makes of the service. */
export type EchoImplementation = Implementation<typeof echoService>;

/** A client of an implementation, and what the server reported. */
export interface EchoPeer extends AsyncDisposable {
  readonly client: ServiceClient<typeof echoService>;
  readonly reported: unknown[];
}

/** Over a socket; `path` is the socket's. */
export async function overSocket(implementation: EchoImplementation): Promise<EchoPeer & { readonly path: string }> {
  await using undo = new AsyncDisposableStack();
  const reported: unknown[] = [];
  const directory = undo.use(temporaryDirectory());
  const path = `${directory.path}/echo.sock`;
  const report = (error: unknown) => void reported.push(error);
  undo.use(await serveGrpc({ path, services: [bindService(echoService, implementation)], report }));
  const client = undo.use(new GrpcClient(path, "test")).service(echoService);
  const owned = undo.move();
  return { client, path, reported, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Within the process. */
export async function inProcess(implementation: EchoImplementation): Promise<EchoPeer> {
  const client = inProcessClient(echoService, implementation, "test");
  return { client, reported: [], [Symbol.asyncDispose]: async () => {} };
}
