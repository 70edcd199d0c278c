import { spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { taskV2, taskV3 } from "@trimaran/proto";
import { Client, Code, connectUnix, StatusError } from "ttrpc-ts";
import { Bundle } from "../bundle/bundle.ts";
import type { BundleOptions } from "../bundle/oci-spec.ts";
import { cgroupsOf } from "../host/belongings.ts";
import { listenerOf } from "../host/listener.ts";
import { isThere, type ProcessIdentity, processAt, signal } from "../host/process-state.ts";
import { makeFifo } from "../host/program.ts";
import { type Deleted, openLog, runDelete, Shim } from "../shim/client.ts";
import { RawConnection } from "../shim/raw-connection.ts";
import { type Invocation, invoke, parseReply, type ShimOptions, type StartStyle } from "../shim/start.ts";
import { Container, observed, type Stdio, type Task, type TaskService } from "./container.ts";
import { eventName, type TaskEvent, toTaskEvent } from "./events.ts";
import { describe, Finding } from "./finding.ts";
import type { Lane } from "./lane.ts";
import { until, within } from "./patience.ts";
import { Reader, streamPath, Writer } from "./streams.ts";
import type { Target } from "./target.ts";

/** How a container of a check differs from an ordinary one. */
export interface ContainerOptions extends Partial<Omit<BundleOptions, "id" | "namespace">> {
  readonly style?: StartStyle;
  /** The sandbox of a pod of its own, or a container in the pod of that id, by the annotations of containerd's CRI plugin. */
  readonly pod?: "own" | (string & {});
  readonly shim?: Partial<ShimOptions>;
}

/** A bundle, and how the shim is invoked for it. */
export interface Prepared {
  readonly bundle: Bundle;
  readonly options: ShimOptions;
}

/** A client's ends of a process's output. */
export interface Output {
  readonly stdout: Reader;
  readonly stderr: Reader;
  /** For Create and Exec. */
  readonly paths: { readonly stdout: string; readonly stderr: string };
}

const SETTLE_MS = 5_000;

/** Where one check works: containers of its own, what they left behind, and a journal of what was asked and answered. */
export class Lab {
  readonly target: Target;
  readonly lane: Lane;
  readonly limitMs: number;
  /** Calls and commands in their order, with what came of them. */
  readonly journal: string[] = [];
  readonly #ids: string[] = [];
  readonly #containers: Container[] = [];
  readonly #daemons: ProcessIdentity[] = [];
  readonly #disposables = new DisposableStack();
  readonly #bundles = new AsyncDisposableStack();

  constructor(target: Target, lane: Lane) {
    this.target = target;
    this.lane = lane;
    this.limitMs = target.limitMs;
  }

  get namespace(): string {
    return this.lane.namespace;
  }

  /** A folder for FIFOs, files and loggers. */
  get folder(): string {
    return this.lane.containerd.dir;
  }

  /** Make a bundle whose container runs a shell script. */
  async prepare(script: string, options: ContainerOptions = {}): Promise<Prepared> {
    const { style = this.target.style, shim = {}, pod, ...more } = options;
    const id = this.lane.newId();
    this.#ids.push(id);
    const spec = { namespace: this.namespace, id, args: ["sh", "-c", script], ...podAnnotations(pod, id), ...more };
    const bundle = this.#bundles.use(await Bundle.make(this.folder, this.target.rootfs, spec));
    const { binary, env = {}, options: runtime } = this.target;
    const place = { containerd: this.lane.containerd, namespace: this.namespace, id, bundle: bundle.path };
    return { bundle, options: { binary, style, ...place, env, ...(runtime && { options: runtime }), ...shim } };
  }

  /** Run one of the binary's commands as containerd does. A Finding if it does not end. */
  async invoke(
    options: ShimOptions,
    action: "start" | "delete" | "-info",
    flags: readonly string[] = [],
  ): Promise<Invocation> {
    const at = this.journal.push(`${action} (the command, as containerd ${options.style ?? "1.6"})`) - 1;
    if (action === "start") {
      const log = openLog(options.bundle); // a shim may wait for its reader
      this.#disposables.defer(() => void log.destroy());
    }
    const done = await within(`the end of ${action} and of its pipes`, invoke(options, action, flags), this.limitMs);
    this.journal[at] += ` = exit status ${done.code}`;
    return done;
  }

  /** `start`, and the connection. */
  async started({ bundle, options }: Prepared): Promise<Container> {
    const at = this.journal.push(`start (the command, as containerd ${options.style ?? "1.6"})`) - 1;
    const shim = await within("an answer of start, and its end", Shim.start(options), this.limitMs).catch(
      (error: unknown) => {
        throw error instanceof Finding
          ? error
          : new Finding("start to succeed", describeStart(error), { cause: error });
      },
    );
    this.journal[at] += ` = ${shim.reply.form}, version ${shim.reply.version}, ${shim.reply.address}`;
    const pid = await listenerOf(shim.reply.address);
    const daemon = pid === undefined ? undefined : await processAt(pid);
    if (daemon !== undefined) this.#daemons.push(daemon);
    const service = await this.#serviceOf(shim);
    const task = observed(shim.client.service(service), this.journal, this.limitMs);
    const container = new Container({ bundle, shim, service, task, limitMs: this.limitMs, journal: this.journal });
    this.#containers.push(container);
    return container;
  }

  /** A container before its Create. */
  async shim(script = "exec sleep 1000", options: ContainerOptions = {}): Promise<Container> {
    return await this.started(await this.prepare(script, options));
  }

  async created(script = "exec sleep 1000", options: ContainerOptions = {}, stdio: Stdio = {}): Promise<Container> {
    return await (await this.shim(script, options)).create(stdio);
  }

  async running(script = "exec sleep 1000", options: ContainerOptions = {}, stdio: Stdio = {}): Promise<Container> {
    return await (await this.created(script, options, stdio)).start();
  }

  /** One that has exited. */
  async exited(script: string, options: ContainerOptions = {}, stdio: Stdio = {}): Promise<Container> {
    const container = await this.running(script, options, stdio);
    await container.wait();
    return container;
  }

  /** Another connection to a container's shim; it is closed with the check. By default it speaks the container's version. */
  async reconnect({ shim, service }: Container, as: TaskService = service): Promise<Task> {
    this.journal.push("a new connection");
    const client = new Client(await connectUnix(shim.reply.address, { timeoutMs: this.limitMs }));
    this.#disposables.defer(() => client.close());
    return observed(client.service(as), this.journal, this.limitMs);
  }

  /** A connection that knows no manners. */
  async raw({ shim }: Container): Promise<RawConnection> {
    return this.#disposables.use(await RawConnection.open(shim.reply.address));
  }

  /** Pid of the process that listens on the shim's socket. */
  async daemonOf({ shim }: Container): Promise<number> {
    const pid = await listenerOf(shim.reply.address);
    if (pid === undefined) throw new Finding(`a process that listens on ${shim.reply.address}`, "none");
    return pid;
  }

  /** Take away a shim that was started by `invoke`: Shutdown over a connection of its own, then `delete`. */
  async dismiss({ bundle, options }: Prepared, { stdout }: Invocation): Promise<void> {
    const reply = parseReply(stdout);
    const client = new Client(await connectUnix(reply.address, { timeoutMs: this.limitMs }));
    const service = reply.version >= 3 ? taskV3 : taskV2;
    await client
      .service(service)
      .shutdown({ id: bundle.id }, { timeoutMs: this.limitMs })
      .catch(() => undefined);
    client.close();
    await within("the end of delete", runDelete(options), this.limitMs).catch(() => undefined);
  }

  /** `delete`, as containerd runs it. */
  async delete(options: ShimOptions): Promise<Deleted> {
    this.journal.push("delete (the command)");
    const ended = within("the end of delete", runDelete(options), this.limitMs);
    return await ended.catch((error: unknown) => {
      throw error instanceof Finding
        ? error
        : new Finding("delete with exit status 0 and a DeleteResponse", describeStart(error));
    });
  }

  /** A client that reads stdout and stderr through FIFOs. */
  async output(): Promise<Output> {
    const id = this.lane.newId();
    const open = async (name: string) => this.#disposables.use(await Reader.open(streamPath(this.folder, id, name)));
    const [stdout, stderr] = [await open("stdout"), await open("stderr")];
    return { stdout, stderr, paths: { stdout: stdout.path, stderr: stderr.path } };
  }

  /** A client that reads a FIFO that is there. */
  async readerAgain(path: string): Promise<Reader> {
    return this.#disposables.use(await Reader.open(path, false));
  }

  /** The path of a FIFO with a client that has it open and never reads. */
  async stalledReader(): Promise<string> {
    const path = streamPath(this.folder, this.lane.newId(), "stdout");
    await makeFifo(path);
    const child = spawn("sh", ["-c", 'exec 3< "$1"; exec sleep 1000', "sh", path], { stdio: "ignore" });
    this.#disposables.defer(() => void child.kill("SIGKILL"));
    return path;
  }

  /** Resident memory of the shim's process. */
  async residentBytes(container: Container): Promise<number> {
    const status = await readFile(`/proc/${await this.daemonOf(container)}/status`, "utf8");
    return Number(/^VmRSS:\s*(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
  }

  /** A client that writes a stream through a FIFO. */
  async writer(): Promise<Writer> {
    return this.#disposables.use(await Writer.open(streamPath(this.folder, this.lane.newId(), "stdin")));
  }

  /** A `binary://` logger that runs a shell script: fd 3 is stdout, 4 stderr, 5 is closed to say "ready". */
  async logger(script: string): Promise<{ readonly uri: string; readonly path: string }> {
    const path = streamPath(this.folder, this.lane.newId(), "logger");
    await writeFile(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    return { uri: `binary://${path}`, path };
  }

  /** Wait for something to become so, within the time limit. */
  async until(expected: string, isSo: () => boolean | Promise<boolean>, came?: () => string): Promise<void> {
    await until(expected, async () => (await isSo()) || undefined, this.limitMs, came);
  }

  /** The first of these files in the container's cgroups on the host; undefined if it has none there, as in a virtual machine. */
  async cgroupValue({ id }: Container, ...names: readonly string[]): Promise<string | undefined> {
    for (const cgroup of await cgroupsOf({ tag: id, namespace: this.namespace })) {
      for (const name of names) {
        const text = await readFile(join(cgroup, name), "utf8").catch(() => undefined);
        if (text !== undefined) return text.trim();
      }
    }
    return undefined;
  }

  /** The container's events so far. */
  events({ id }: { readonly id: string }): TaskEvent[] {
    const events = this.lane.containerd.events.map(toTaskEvent);
    return events.filter((event) => event !== undefined).filter(({ containerId }) => containerId === id);
  }

  /** Wait for an event of a container by its name, `exit` or `exec-started one` say. */
  async event(container: Container, name: string): Promise<TaskEvent> {
    const find = () => this.events(container).find((event) => eventName(event) === name);
    const names = () => this.events(container).map(eventName).join(", ") || "no events";
    return await until(`the event ${name}`, find, this.limitMs, names);
  }

  /** The events' names must be these, in this order, once the last one is there. */
  async expectEvents(container: Container, ...names: readonly string[]): Promise<void> {
    const last = names.at(-1);
    if (last !== undefined) await this.event(container, last);
    const came = this.events(container).map(eventName);
    if (describe(came) !== describe(names)) throw new Finding(names.join(", "), came.join(", "));
  }

  /** A process must go. */
  async gone(what: string, pid: number): Promise<void> {
    const ask = async () => ((await processAt(pid)) === undefined ? true : undefined);
    await until(`${what} (pid ${pid}) gone`, ask, SETTLE_MS, () => "it lives");
  }

  /**
   * End what the check has left running, as containerd does when a connection closes. Returns what is there of the check's containers after
   * that, and after a time to settle if it `mustBeGone`. It is not removed by this: the lane does so.
   */
  async close(mustBeGone: boolean): Promise<string[]> {
    this.#disposables.dispose();
    for (const container of this.#containers) await container.finish();
    const left = await this.#settled(mustBeGone ? SETTLE_MS : 0);
    for (const daemon of this.#daemons) if (await isThere(daemon)) signal(daemon.pid);
    if (left.length === 0) await this.#bundles.disposeAsync();
    return left;
  }

  async #settled(limitMs: number): Promise<string[]> {
    const end = performance.now() + limitMs;
    for (;;) {
      const there = await Promise.all(this.#daemons.map(async (each) => ((await isThere(each)) ? [each.pid] : [])));
      const words = there.flat().map(async (pid) => `the shim's process ${pid}: ${await command(pid)}`);
      const named = await Promise.all(words);
      const left = [...named, ...(await this.lane.belongingsOf(this.#ids))];
      if (left.length === 0 || performance.now() > end) return left;
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  }

  /** containerd 2.x falls back to version 2 on the same connection if a shim that has said 3 does not serve it. */
  async #serviceOf(shim: Shim): Promise<TaskService> {
    if (shim.reply.version < 3) return taskV2;
    const answer = shim.task.connect({ id: this.namespace }, { timeoutMs: this.limitMs });
    const lacks = await answer.then(
      () => false,
      (error: unknown) => error instanceof StatusError && error.code === Code.Unimplemented,
    );
    return lacks ? taskV2 : taskV3;
  }
}

function podAnnotations(pod: string | undefined, id: string): Pick<BundleOptions, "annotations"> {
  if (pod === undefined) return {};
  const [sandboxId, type] = pod === "own" ? [id, "sandbox"] : [pod, "container"];
  return { annotations: { "io.kubernetes.cri.sandbox-id": sandboxId, "io.kubernetes.cri.container-type": type } };
}

async function command(pid: number): Promise<string> {
  const line = await readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "");
  return line.replaceAll("\0", " ").trim();
}

function describeStart(error: unknown): string {
  return error instanceof Error ? error.message.trim() : String(error);
}
