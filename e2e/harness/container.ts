import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import type { Engine } from "./containerd.ts";
import { IMAGE } from "./images.ts";
import { PATIENCE } from "./patience.ts";
import type { Finished, RunOptions } from "./process.ts";

/** How to run a command in a container: flags of ctr, and what goes to its stdin. */
export interface CommandOptions extends RunOptions {
  readonly flags?: readonly string[];
  /** Give it a terminal (`-t`). */
  readonly tty?: boolean;
}

/** How to run a container. */
export interface ContainerOptions extends CommandOptions {
  readonly image?: string;
  readonly id?: string;
}

/** `ctr run --rm` of a new container, to its end. */
export function runContainer(
  engine: Engine,
  runtime: string,
  options: ContainerOptions,
  command: readonly string[],
): Promise<Finished> {
  const { flags = [], image = IMAGE, id = engine.newId(), tty = false } = options;
  const args = ["run", "--rm", "--runtime", runtime, ...flags, ...(tty ? ["-t"] : []), image, id, ...command];
  return tty ? engine.ctrOnTerminal(options, ...args) : engine.ctrWith(options, ...args);
}

/** A container started with `ctr run -d`; disposing kills and removes it. */
export class Container implements AsyncDisposable {
  readonly id: string;
  readonly #engine: Engine;
  #execs = 0;

  constructor(engine: Engine, id: string) {
    this.#engine = engine;
    this.id = id;
  }

  /** Start one. Throws with ctr's words if that fails. */
  static async start(
    engine: Engine,
    runtime: string,
    options: ContainerOptions,
    command: readonly string[],
  ): Promise<Container> {
    const { flags = [], image = IMAGE, id = engine.newId(), tty = false } = options;
    await using undo = new AsyncDisposableStack();
    const container = undo.use(new Container(engine, id));
    const args = ["run", "-d", "--runtime", runtime, ...flags, ...(tty ? ["-t"] : []), image, id, ...command];
    const done = tty ? await engine.ctrOnTerminal(options, ...args) : await engine.ctrWith(options, ...args);
    if (done.code !== 0)
      throw new Error(`ctr ${args.join(" ")}: exit status ${done.code}\n${done.stdout}${done.stderr}`);
    undo.move();
    return container;
  }

  /** `ctr task exec`, to its end. */
  exec(options: CommandOptions, ...command: readonly string[]): Promise<Finished> {
    const { flags = [], tty = false } = options;
    const args = ["task", "exec", "--exec-id", this.newExecId(), ...flags, ...(tty ? ["-t"] : []), this.id, ...command];
    return tty ? this.#engine.ctrOnTerminal(options, ...args) : this.#engine.ctrWith(options, ...args);
  }

  /** An exec id that this container has not used. */
  newExecId(): string {
    this.#execs += 1;
    return `exec-${this.#execs}`;
  }

  /** `ctr task VERB FLAG… ID`. */
  task(verb: string, ...flags: readonly string[]): Promise<Finished> {
    return this.#engine.ctr("task", verb, ...flags, this.id);
  }

  /** The same; throws with ctr's words if it fails. */
  taskOk(verb: string, ...flags: readonly string[]): Promise<string> {
    return this.#engine.ctrOk("task", verb, ...flags, this.id);
  }

  /** The line of `ctr task ls`, or undefined if there is no such task. */
  async listed(): Promise<{ readonly pid: number; readonly status: string } | undefined> {
    const lines = (await this.#engine.ctrOk("task", "ls")).split("\n").map((line) => line.split(/\s+/));
    const line = lines.find(([id]) => id === this.id);
    return line && { pid: Number(line[1]), status: line[2] ?? "" };
  }

  /** Wait until the list shows the task in that status. ctr has no verb that waits without deleting, hence the polling. */
  async reached(status: string, timeoutMs = 15_000): Promise<void> {
    const until = Date.now() + timeoutMs * PATIENCE;
    for (;;) {
      const now = (await this.listed())?.status ?? "absent";
      if (now === status) return;
      if (Date.now() > until) assert.fail(`${this.id} is ${now} after ${timeoutMs} ms, not ${status}`);
      await delay(30);
    }
  }

  /** Attach, which ends with the task and deletes it; the exit status is the task's. */
  attach(options: RunOptions = {}): Promise<Finished> {
    return this.#engine.ctrWith(options, "task", "attach", this.id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#engine.ctr("task", "rm", "--force", this.id);
    await this.#engine.ctr("container", "rm", this.id);
  }
}
