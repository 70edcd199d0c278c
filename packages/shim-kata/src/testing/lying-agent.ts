import { createServer, type Server, type Socket } from "node:net";
import { agentV1, GreetingFinder, greetingReply, taskV3 } from "@trimaran/proto";
import { Code, channelFromStream, type Implementation, StatusError, Server as TtrpcServer } from "ttrpc-ts";

type AgentService = Implementation<typeof agentV1, undefined>;

/** An agent that says what a test wants it to say, on a unix socket. Methods that are not given answer Unimplemented. */
export class LyingAgent implements AsyncDisposable {
  readonly path: string;
  readonly sockets = new Set<Socket>();
  readonly #server: Server;
  /** How many conversations began. */
  conversations = 0;

  private constructor(path: string, server: Server) {
    this.path = path;
    this.#server = server;
  }

  /** `raw`: gets each greeted socket instead of a server. `before`: bytes in front of the answer to a greeting. */
  static async open(
    path: string,
    methods: Partial<AgentService>,
    { raw, before }: { readonly raw?: (socket: Socket) => void; readonly before?: () => Uint8Array } = {},
  ): Promise<LyingAgent> {
    const ttrpc = new TtrpcServer<undefined>();
    ttrpc.register(agentV1, complete(agentV1.methods, methods) as AgentService);
    ttrpc.register(taskV3, complete(taskV3.methods, {}) as Implementation<typeof taskV3, undefined>);
    const server = createServer((socket) => {
      agent.sockets.add(socket);
      socket.on("error", () => undefined).once("close", () => agent.sockets.delete(socket));
      const finder = new GreetingFinder("host");
      const read = (chunk: Uint8Array): void => {
        const found = finder.push(chunk);
        if (!found) return;
        socket.off("data", read);
        agent.conversations++;
        if (before) socket.write(before());
        socket.write(greetingReply(found.nonce));
        if (raw) raw(socket);
        else ttrpc.serve(channelFromStream(socket), undefined);
      };
      socket.on("data", read);
    });
    const agent = new LyingAgent(path, server);
    await new Promise<void>((resolve) => server.listen(path, resolve));
    return agent;
  }

  /** Cut every conversation off. */
  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function complete(methods: object, given: object): object {
  const absent = (name: string) => () => {
    throw new StatusError(Code.Unimplemented, `${name}: this agent does not`);
  };
  return { ...Object.fromEntries(Object.keys(methods).map((name) => [name, absent(name)])), ...given };
}
