import { setTimeout as delay } from "node:timers/promises";
import type { ManagerClient } from "@trimaran/manager";
import type { Engine } from "../harness/containerd.ts";
import { PATIENCE } from "../harness/patience.ts";

/** The engine was killed while it was asked: it may have done what it was asked for, or not. It is back now. */
export class CutOff extends Error {
  override readonly name = "CutOff";
}

const BACK_LIMIT_MS = 120_000 * PATIENCE;

/** An engine that may be killed at any moment, and a client that asks again. */
export class Fleet {
  readonly engine: Engine;
  readonly runtime: string;
  readonly #client: ManagerClient;
  #kills = 0;
  #isDown = false;

  constructor(engine: Engine, runtime: string, client: ManagerClient) {
    this.engine = engine;
    this.runtime = runtime;
    this.#client = client;
  }

  /** To be compared later: unless it is still the same, the engine was away since then. */
  get presence(): number {
    return this.#isDown ? Number.NaN : this.#kills;
  }

  /** Ask the engine. Rejects with CutOff if it was killed meanwhile, with what it says otherwise. */
  async ask<T>(make: (client: ManagerClient) => Promise<T>): Promise<T> {
    await this.#back();
    const kills = this.#kills;
    try {
      return await make(this.#client);
    } catch (error) {
      if (kills === this.#kills) throw error;
      await this.#back();
      throw new CutOff(`cut off: ${error}`, { cause: error });
    }
  }

  /** The same for what may be asked twice. */
  async askAgain<T>(make: (client: ManagerClient) => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await this.ask(make);
      } catch (error) {
        if (!(error instanceof CutOff)) throw error;
      }
    }
  }

  /** kill -9, and another start. */
  async restart(): Promise<void> {
    this.#isDown = true;
    this.#kills += 1;
    await this.engine.kill("SIGKILL");
    await this.engine.start();
    this.#isDown = false;
  }

  async #back(): Promise<void> {
    for (const until = Date.now() + BACK_LIMIT_MS; this.#isDown; await delay(10))
      if (Date.now() > until) throw new Error("the engine does not come back");
  }
}
