import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Client,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { google, type Init } from "@trimaran/proto";
import { Code, ManagerError } from "../errors/manager-error.ts";
import { echoService, overSocket } from "../testing/echo-service.ts";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { GrpcClient } from "./grpc-client.ts";

// Somebody else's gRPC on the other side, so that our client and our server cannot be wrong in the same way.

type Any = google.protobuf.Any;
const { Any } = google.protobuf;
const serialize = (message: Init<Any>) => Any.encode(message);
const deserialize = (bytes: Buffer) => Any.decode(bytes);
const texts = async (answers: AsyncIterable<Any>) => {
  const seen: string[] = [];
  for await (const { typeUrl } of answers) seen.push(typeUrl);
  return seen;
};

test("grpc-js's client understands our server", async () => {
  await using peer = await overSocket({
    one({ typeUrl }, { namespace, lease }) {
      if (typeUrl === "bad") throw new ManagerError(Code.NotFound, 'é "x"\n100%');
      return { typeUrl: `${typeUrl} ${namespace} ${lease}` };
    },
    async *many({ typeUrl }) {
      for (const letter of typeUrl) yield { typeUrl: letter, value: Buffer.alloc(300_000) };
    },
    async *both(requests) {
      for await (const { typeUrl } of requests) yield { typeUrl: typeUrl.toUpperCase() };
    },
  });
  using client = Object.assign(new Client(`unix:${peer.path}`, credentials.createInsecure()), {
    [Symbol.dispose]: () => client.close(),
  });
  const metadata = new Metadata();
  metadata.add("containerd-namespace", "first");
  metadata.add("containerd-namespace", "second");
  metadata.add("containerd-lease", "a, b");
  const one = (typeUrl: string) =>
    new Promise<Any | undefined>((resolve, reject) => {
      client.makeUnaryRequest("/test.Echo/One", serialize, deserialize, { typeUrl }, metadata, {}, (error, answer) =>
        error === null ? resolve(answer) : reject(error),
      );
    });
  assert.equal((await one("x"))?.typeUrl, "x first a, b");
  await assert.rejects(one("bad"), { code: Code.NotFound, details: 'é "x"\n100%: not found' });
  const many = client.makeServerStreamRequest("/test.Echo/Many", serialize, deserialize, { typeUrl: "abc" });
  assert.deepEqual(await texts(many), ["a", "b", "c"]);
  const both = client.makeBidiStreamRequest<Init<Any>, Any>("/test.Echo/Both", serialize, deserialize);
  both.write({ typeUrl: "a" });
  both.end({ typeUrl: "b" });
  assert.deepEqual(await texts(both), ["A", "B"]);
  const unknown = client.makeServerStreamRequest("/test.Echo/None", serialize, deserialize, {});
  await assert.rejects(texts(unknown), { code: Code.Unimplemented });
});

test("our client understands grpc-js's server, and comes back when the server has been away", async () => {
  using directory = temporaryDirectory();
  const path = `${directory.path}/echo.sock`;
  const handlers = {
    one({ request, metadata }: ServerUnaryCall<Any, Init<Any>>, done: sendUnaryData<Init<Any>>) {
      if (request.typeUrl === "bad") done({ code: Code.NotFound, details: 'é "x"\n100%' });
      else done(null, { typeUrl: `${request.typeUrl} ${metadata.get("containerd-namespace")}` });
    },
    both(call: ServerDuplexStream<Any, Init<Any>>) {
      call.on("data", ({ typeUrl }: Any) =>
        call.write({ typeUrl: typeUrl.toUpperCase(), value: Buffer.alloc(300_000) }),
      );
      call.on("end", () => call.end());
    },
  };
  async function listen(): Promise<AsyncDisposable> {
    const server = new Server();
    server.register("/test.Echo/One", handlers.one, (message) => Any.encode(message), deserialize, "unary");
    server.register("/test.Echo/Both", handlers.both, (message) => Any.encode(message), deserialize, "bidi");
    await new Promise((resolve) => server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), resolve));
    return { [Symbol.asyncDispose]: async () => server.forceShutdown() };
  }
  using owner = new GrpcClient(path, "ns");
  const client = owner.service(echoService);
  await assert.rejects(client.one({}), { code: Code.Unavailable, message: /ENOENT/ });
  const first = await listen();
  assert.equal((await client.one({ typeUrl: "x" })).typeUrl, "x ns");
  await assert.rejects(client.one({ typeUrl: "bad" }), { code: Code.NotFound, message: 'é "x"\n100%' });
  async function* source() {
    yield { typeUrl: "a" };
    yield { typeUrl: "b" };
  }
  assert.deepEqual(await texts(client.both(source())), ["A", "B"]);
  await assert.rejects(texts(client.many({})), { code: Code.Unimplemented });
  await first[Symbol.asyncDispose]();
  await using _second = await listen();
  await client.one({}).catch(() => {}); // may have met the dead connection
  assert.equal((await client.one({ typeUrl: "again" })).typeUrl, "again ns");
});
