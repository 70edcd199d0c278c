import { google, type MethodDescriptor } from "@trimaran/proto";
import { type CallContext, Code, type Implementation, type ServerStream, StatusError } from "../src/index.ts";

type Any = google.protobuf.Any;

function method<C extends boolean, S extends boolean>(name: string, clientStreaming: C, serverStreaming: S) {
  const codec = google.protobuf.Any;
  return {
    name,
    request: codec,
    response: codec,
    clientStreaming,
    serverStreaming,
  } as const satisfies MethodDescriptor<Any, Any, C, S>;
}

/** The service that tests, benchmark and fuzzer call; peer/main.go has it too. Every message is an Any. */
export const echo = {
  name: "trimaran.conformance.Echo",
  methods: {
    unary: method("Unary", false, false),
    fail: method("Fail", false, false),
    wait: method("Wait", false, false),
    big: method("Big", false, false),
    metadata: method("Metadata", false, false),
    upload: method("Upload", true, false),
    download: method("Download", false, true),
    chat: method("Chat", true, true),
  },
} as const;

async function upload(stream: ServerStream<Any, Any>): Promise<{ typeUrl: string }> {
  let [messages, bytes] = [0, 0];
  for await (const { value } of stream) {
    messages++;
    bytes += value.length;
  }
  return { typeUrl: `${messages} messages, ${bytes} bytes` };
}

async function download({ typeUrl, value }: Any, stream: ServerStream<Any, Any>): Promise<void> {
  for (let i = 0; i < Number(typeUrl); i++) await stream.send({ typeUrl: String(i) });
  if (value.length > 0) throw new StatusError(Code.Aborted, Buffer.from(value).toString());
}

async function chat(stream: ServerStream<Any, Any>): Promise<void> {
  for await (const message of stream) {
    if (message.typeUrl === "bye") return;
    if (message.typeUrl === "fail") throw new StatusError(Code.Aborted, "as asked");
    await stream.send(message);
  }
}

/** Resolves, never rejects, when the signal aborts. */
export function aborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (signal.aborted) resolve();
  else signal.addEventListener("abort", () => resolve(), { once: true });
  return promise;
}

/** Does what the Go peer's server does. */
export const echoImplementation: Implementation<typeof echo, unknown> = {
  unary: (request) => request,
  fail: ({ typeUrl, value }) => {
    const code = Object.values(Code).find((each) => each === Number(typeUrl)) ?? Code.Unknown;
    throw new StatusError(code, Buffer.from(value).toString());
  },
  wait: async (_request, context: CallContext) => {
    await aborted(context.signal);
    throw context.signal.reason;
  },
  big: ({ typeUrl }) => ({ value: Buffer.alloc(Number(typeUrl)) }),
  metadata: ({ typeUrl }, context) => ({ typeUrl: `[${(context.metadata.get(typeUrl) ?? []).join(" ")}]` }),
  upload,
  download,
  chat,
};
