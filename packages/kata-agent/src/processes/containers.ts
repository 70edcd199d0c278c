import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { ANY, packAny, type trimaran } from "@trimaran/proto";
import { parseIdentifier } from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";
import { GuestProcess, type ProcessName, type Tasks } from "./guest-process.ts";

type CreateRequest = trimaran.agent.v1.CreateContainerRequest;
type ExecRequest = trimaran.agent.v1.AddExecRequest;

const SIGKILL = 9;
/** Requests to signal that are remembered. */
const SIGNALS_KEPT = 256;

/** The containers of this guest. The host may ask for anything twice; what was done is not done again. */
export class Containers {
  readonly #tasks: Tasks;
  readonly #directory: string;
  readonly #adopted: Map<string, number>;
  readonly #processes = new Map<string, { process: GuestProcess; made: Promise<unknown> }>();
  readonly #signals = new Map<string, Promise<unknown>>();

  /** `directory`: for bundles and FIFOs. `adopted`: gets the pid of a container's init that runs already. */
  constructor(tasks: Tasks, directory: string, adopted: Map<string, number>) {
    this.#adopted = adopted;
    this.#tasks = tasks;
    this.#directory = directory;
  }

  /** Throws NotFound. */
  process(name: ProcessName): GuestProcess {
    const known = this.#processes.get(keyOf(name));
    if (known) return known.process;
    const what = name.execId === "" ? "container" : "exec";
    throw new StatusError(Code.NotFound, `${what} ${keyOf(name)}: not found`);
  }

  /** Bring a container to its start gate, or take one over that runs. Rejects and leaves nothing. */
  async create(request: CreateRequest): Promise<number> {
    const name = { id: parseIdentifier("id", request.id), execId: "" };
    const process = await this.#make(name, request, async (made) => {
      const bundle = this.#bundle(name.id);
      mkdirSync(bundle, { recursive: true, mode: 0o700 });
      writeFileSync(`${bundle}/config.json`, request.spec, { mode: 0o600 });
      if (request.initPid !== 0) this.#adopted.set(name.id, request.initPid);
      const { pid } = await this.#tasks.call((tasks) =>
        tasks.create({ id: name.id, bundle, rootfs: request.rootfs, ...made.paths }),
      );
      made.pid = pid;
      made.begin();
    });
    if (request.initPid !== 0) await process.start(); // nothing happens, but the engine knows that it runs
    return process.pid;
  }

  /** Add an exec, and start it if that is asked for: then its pid. */
  async addExec(request: ExecRequest): Promise<number> {
    const { id, once } = request;
    const name = { id, execId: parseIdentifier("exec_id", request.execId) };
    const isAgain = once !== "" && this.#processes.get(keyOf(name))?.process.addedBy === once;
    if (request.fresh && !isAgain) await this.remove(name);
    const process = await this.#make(name, request, async (made) => {
      made.addedBy = once;
      await this.#tasks.call((tasks) =>
        tasks.exec({ ...name, ...made.paths, spec: packAny(ANY.ociProcess, request.process) }),
      );
    });
    return request.start ? await process.start() : 0;
  }

  /** Signal a process, or all of its container. The same `once` does nothing again. */
  async signal(name: ProcessName, signal: number, all: boolean, once: string): Promise<void> {
    const known = once === "" ? undefined : this.#signals.get(once);
    if (known) return void (await known);
    const done = this.#tasks.call((tasks) => tasks.kill({ ...name, signal, all }));
    if (once === "") return void (await done);
    done.catch(() => undefined);
    this.#signals.set(once, done);
    for (const first of this.#signals.keys()) {
      if (this.#signals.size <= SIGNALS_KEPT) break;
      this.#signals.delete(first);
    }
    await done;
  }

  /** Take a process away, a container with its execs, whatever its state. */
  async remove(name: ProcessName): Promise<void> {
    const known = this.#processes.get(keyOf(name));
    if (!known) return;
    await known.made.catch(() => undefined);
    if (name.execId === "") for (const execId of this.#execsOf(name.id)) this.#close({ id: name.id, execId });
    const { process } = known;
    if (name.execId === "" || process.isStarted) await this.#end(name);
    await this.#tasks.call((tasks) => tasks.delete({ ...name })).catch(ignoreNotFound);
    this.#drop(name);
  }

  async #make(
    name: ProcessName,
    wanted: CreateRequest | ExecRequest,
    make: (process: GuestProcess) => Promise<void>,
  ): Promise<GuestProcess> {
    const key = keyOf(name);
    const known = this.#processes.get(key);
    if (known) {
      await known.made;
      return known.process;
    }
    const process = new GuestProcess(this.#tasks, name, wanted, `${this.#directory}/streams/${key}`);
    const made = make(process);
    this.#processes.set(key, { process, made });
    try {
      await made;
      return process;
    } catch (error) {
      this.#drop(name);
      throw error;
    }
  }

  /** A created or running one is killed. */
  async #end(name: ProcessName): Promise<void> {
    const wait = this.#tasks.call((tasks) => tasks.wait({ ...name })).catch(ignoreNotFound);
    await this.#tasks
      .call((tasks) => tasks.kill({ ...name, signal: SIGKILL, all: name.execId === "" }))
      .catch(() => undefined); // it has ended
    await wait;
  }

  /** Of a container its bundle, too. */
  #drop(name: ProcessName): void {
    this.#close(name);
    if (name.execId !== "") return;
    this.#adopted.delete(name.id);
    rmSync(this.#bundle(name.id), { recursive: true, force: true });
  }

  #close(name: ProcessName): void {
    this.#processes.get(keyOf(name))?.process.close();
    this.#processes.delete(keyOf(name));
  }

  #execsOf(id: string): string[] {
    const names = [...this.#processes.values()].map(({ process }) => process.name);
    return names.flatMap((name) => (name.id === id && name.execId !== "" ? [name.execId] : []));
  }

  #bundle(id: string): string {
    return `${this.#directory}/bundles/${id}`;
  }
}

function keyOf({ id, execId }: ProcessName): string {
  return execId === "" ? id : `${id}/${execId}`;
}

function ignoreNotFound(error: unknown): void {
  if (!(error instanceof StatusError && error.code === Code.NotFound)) throw error;
}
