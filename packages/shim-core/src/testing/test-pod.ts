import { containerd, type OtlpExporter, sandboxV1, taskV2, taskV3 } from "@trimaran/proto";
import { Client, Server, type ServiceClient } from "ttrpc-ts";
import { RetryableError } from "../events/outbox.ts";
import { Logger } from "../log.ts";
import type { PodIdentity } from "../pod/identity.ts";
import { Pod } from "../pod/pod.ts";
import { sandboxService } from "../sandbox/service.ts";
import { type Connection, type TaskService, taskService } from "../task/service.ts";
import { toStatus } from "../to-status.ts";
import { tracedService } from "../trace/traced-service.ts";
import { FakeMonitor } from "./fake-link.ts";
import { FakeRuntime } from "./fake-runtime.ts";

/** A client's view of a pod on a fake monitor, whose task server can be killed. */
export class TestPod {
  readonly monitor = new FakeMonitor();
  readonly runtime = new FakeRuntime();
  /** What containerd was told, one line each: `exit web one 137`. */
  readonly events: string[] = [];
  readonly logged: string[] = [];
  restarts = 0;
  /** Whether containerd is not there to hear of events. */
  isAway = false;
  /** Where spans go; counts from the next task server on. */
  exporter: OtlpExporter | undefined;
  pod: Pod;
  readonly client: Client;
  readonly task: ServiceClient<typeof taskV2>;
  readonly sandbox: ServiceClient<typeof sandboxV1>;
  readonly #identity: PodIdentity;
  readonly #wake = new Set<() => void>();

  /** `bundle`: of the `start` that made the monitor; must be there for sandboxes. */
  constructor(bundle = IDENTITY.bundle) {
    this.#identity = { ...IDENTITY, bundle };
    this.monitor.onCrash = () => this.restart();
    this.pod = this.#serve();
    this.client = this.connect();
    this.task = this.client.service(taskV2);
    this.sandbox = this.client.service(sandboxV1);
  }

  connect(): Client {
    return new Client(this.monitor.connect());
  }

  /** Another task server takes over, from what the monitor knows. */
  restart(): void {
    this.restarts++;
    this.pod = this.#serve();
  }

  /** Create and start `web`. */
  async run(id = "web"): Promise<number> {
    const { pid } = await this.task.create({ id, bundle: "/nonexistent/bundle" });
    await this.task.start({ id });
    return pid;
  }

  /** Add an exec, and start it. */
  async exec(execId: string, id = "web"): Promise<number> {
    await this.task.exec({ id, execId });
    return (await this.task.start({ id, execId })).pid;
  }

  /** Once containerd was told this. */
  async told(event: string): Promise<void> {
    while (!this.events.includes(event)) await new Promise<void>((resolve) => this.#wake.add(resolve));
  }

  #serve(): Pod {
    const link = this.monitor.open();
    const server = new Server<Connection>({ toStatus });
    const tasks = tracedService<TaskService>(taskService);
    for (const service of [taskV2, taskV3]) server.register<TaskService>(service, tasks);
    server.register(sandboxV1, tracedService(sandboxService));
    const log = new Logger((line) => void this.logged.push(line));
    const forward = async (envelope: Uint8Array): Promise<void> => {
      await new Promise(setImmediate);
      if (link.isCut) await new Promise(() => undefined); // it was killed before it had sent it
      if (this.isAway) throw new RetryableError("nobody listens");
      this.events.push(summary(containerd.types.Envelope.decode(envelope)));
      for (const wake of this.#wake) wake();
    };
    const environment = {
      runtime: this.runtime,
      server,
      log,
      cacheDirectory: "/nonexistent/cache",
      forward: () => forward,
      exporter: this.exporter,
    };
    const pod = new Pod(environment, link, this.#identity);
    link.begin();
    return pod;
  }
}

const IDENTITY = {
  id: "web",
  group: "web",
  namespace: "tests",
  bundle: "/nonexistent/bundle",
  socket: "/nonexistent/socket",
  ttrpcAddress: "",
  debug: false,
  options: [],
};

function summary({ topic, event }: containerd.types.Envelope): string {
  const value = event?.value ?? new Uint8Array(0);
  const codecs = containerd.events;
  switch (topic) {
    case "/tasks/create":
      return `create ${codecs.TaskCreate.decode(value).containerId}`;
    case "/tasks/exit": {
      const exit = codecs.TaskExit.decode(value);
      return `exit ${exit.containerId} ${exit.id} ${exit.exitStatus}`;
    }
    case "/tasks/exec-added":
    case "/tasks/exec-started": {
      const { containerId, execId } = codecs.TaskExecAdded.decode(value);
      return `${topic.slice(7)} ${containerId} ${execId}`;
    }
    case "/tasks/delete": {
      const { containerId, exitStatus } = codecs.TaskDelete.decode(value);
      return `delete ${containerId} ${exitStatus}`;
    }
    default: // the others begin with the container's id
      return `${topic.slice(7)} ${codecs.TaskOOM.decode(value).containerId}`;
  }
}
