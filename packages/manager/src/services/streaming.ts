import { ANY, anyTypeName, containerd, type google, packAny, type streamingV1 } from "@trimaran/proto";
import { Code, ManagerError } from "../errors/manager-error.ts";
import type { Implementation } from "../grpc/implementation.ts";
import { MessageStream } from "./message-stream.ts";
import type { StreamRegistry } from "./stream-registry.ts";

const { StreamInit } = containerd.services.streaming.v1;
const ID_LIMIT = 1024;

/** containerd.services.streaming.v1.Streaming: streams that clients open here under a name, for other calls to use. */
export function streamingService(registry: StreamRegistry): Implementation<typeof streamingV1> {
  return {
    async *stream(requests, call) {
      const messages = requests[Symbol.asyncIterator]();
      const id = parseInit(await messages.next());
      const stream = new MessageStream({ [Symbol.asyncIterator]: () => messages });
      using _ = registry.add(call.namespace ?? "", id, stream, call.lease);
      using _bound = stream.bind(call.signal);
      yield packAny(ANY.empty, new Uint8Array(0));
      yield* stream.answers;
    },
  };
}

function parseInit(first: IteratorResult<google.protobuf.Any>): string {
  if (first.done === true) throw invalid("the first message is missing");
  const name = anyTypeName(first.value);
  if (name !== ANY.streamInit) throw invalid(`the first message is a ${JSON.stringify(name)}, not a ${ANY.streamInit}`);
  const { id } = StreamInit.decode(first.value.value);
  if (id === "" || id.length > ID_LIMIT) throw invalid(`id of ${id.length} characters; 1 to ${ID_LIMIT}`);
  return id;
}

function invalid(why: string): ManagerError {
  return new ManagerError(Code.InvalidArgument, `stream: ${why}`);
}
