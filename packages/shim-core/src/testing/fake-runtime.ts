import { Code, StatusError } from "ttrpc-ts";
import type { Host } from "../host/host.ts";
import type { MonitoredProcess, RequestKey } from "../host/process.ts";
import type { UndoStep } from "../host/undo.ts";
import type { Container, Runtime } from "../runtime.ts";
import { SLOT } from "../stdio/slots.ts";
import type { CreateRequest, ExecRequest } from "../task/record.ts";
import { execKey, initKey } from "../task/task.ts";

/** A runtime whose containers are nothing but processes of the fake monitor. What lies outside outlives task servers. */
export class FakeRuntime implements Runtime {
  readonly name = "io.containerd.fake.v1";
  readonly version = "9.9";
  readonly keepsSandboxes = true;
  /** Nothing, unless a test says what a sandbox needs. */
  sandboxes?: NonNullable<Runtime["sandboxes"]>;
  /** Containers that are frozen, and that were taken away. */
  readonly frozen = new Set<string>();
  readonly removed: string[] = [];
  kills = 0;
  pids: readonly number[] = [];
  endsWithInit = true;
  /** What each Create records first. Nothing: no bundle need be there. */
  undo: readonly UndoStep[] = [];
  /** Holds Create up. */
  creation: Promise<void> = Promise.resolve();
  /** Holds up the end of a Start, whose process runs already. */
  started: Promise<void> = Promise.resolve();
  /** Holds up the answer to a signal that was sent, as a command that sends it does. */
  signalled: Promise<void> = Promise.resolve();

  async create(request: CreateRequest, host: Host): Promise<Container> {
    if (this.undo.length > 0) host.recordUndo(request.bundle, this.undo);
    await this.creation;
    const key = initKey(request.id);
    const init = host.launch(key, { program: new Uint8Array(0), watches: [SLOT.watch], describe });
    try {
      await init.reachedGate();
    } catch (error) {
      await init.exited();
      host.forget(key);
      throw error;
    }
    return new FakeContainer(this, request.id, host, init);
  }

  /** In a later turn, as one that reads files does. */
  async recover(request: CreateRequest, host: Host): Promise<Container> {
    await new Promise(setImmediate);
    return new FakeContainer(this, request.id, host, host.find(initKey(request.id), { describe }));
  }
}

class FakeContainer implements Container {
  readonly init: MonitoredProcess;
  readonly #runtime: FakeRuntime;
  readonly #id: string;
  readonly #host: Host;

  constructor(runtime: FakeRuntime, id: string, host: Host, init: MonitoredProcess) {
    this.#runtime = runtime;
    this.#id = id;
    this.#host = host;
    this.init = init;
  }

  get endsWithInit(): boolean {
    return this.#runtime.endsWithInit;
  }

  async start(): Promise<void> {
    await this.init.start();
    await this.#runtime.started;
    await new Promise(setImmediate); // a runtime may have more to do
  }

  async exec(request: ExecRequest): Promise<MonitoredProcess> {
    const launched = this.#host.launch(execKey(this.#id, request.id), { program: new Uint8Array(0), describe });
    await launched.execed();
    return launched;
  }

  async kill(process: MonitoredProcess, signal: number, key?: RequestKey): Promise<void> {
    await this.#host.signal(process, signal, key);
    await this.#runtime.signalled;
  }

  async killAll(signal: number): Promise<void> {
    await this.#host.signal(this.init, signal).catch(() => undefined);
  }

  async remove(): Promise<void> {
    this.#runtime.removed.push(this.#id);
  }

  pids(): readonly number[] {
    return this.#runtime.pids;
  }

  async pause(): Promise<void> {
    this.#runtime.frozen.add(this.#id);
  }

  async resume(): Promise<void> {
    this.#runtime.frozen.delete(this.#id);
  }

  oomKills(): number {
    return this.#runtime.kills;
  }
}

function describe(step: number, errno: number): Error {
  return new StatusError(Code.InvalidArgument, `step ${step}: errno ${errno}`);
}
