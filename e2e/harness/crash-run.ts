import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Engine } from "./containerd.ts";
import { buildImages, IMAGE } from "./images.ts";
import type { Finished } from "./process.ts";

/** What is known about a name after commands that were answered, or cut off. */
type Known = "there" | "gone" | "either";

/** What the rounds have done so far. */
export interface CrashReport {
  readonly rounds: number;
  readonly answered: number;
  readonly cutOff: number;
}

const PARALLEL = 3;

/**
 * Let several clients import, tag, remove, run and delete at the same time, kill the daemon at a random moment, start it again, and
 * look: what was acknowledged is there, what is there is whole. `random` gives numbers from 0 to 1.
 */
export async function crashRounds(
  engine: Engine,
  runtime: string,
  rounds: number,
  random: () => number,
): Promise<CrashReport> {
  const model = new Model(engine, runtime, random);
  for (let round = 0; round < rounds; round++) {
    const clients = Array.from({ length: PARALLEL }, (_, client) => model.work(client));
    await delay(random() * 700);
    await engine.kill("SIGKILL");
    model.stop();
    await engine.start(); // a client that was about to connect waits for it
    await Promise.all(clients);
    await model.verify();
  }
  await model.clear();
  return { rounds, answered: model.answered, cutOff: model.cutOff };
}

class Model {
  readonly #engine: Engine;
  readonly #runtime: string;
  readonly #random: () => number;
  readonly #images = new Map<string, Known>();
  readonly #containers = new Map<string, Known>();
  #stopped = false;
  answered = 0;
  cutOff = 0;

  constructor(engine: Engine, runtime: string, random: () => number) {
    this.#engine = engine;
    this.#runtime = runtime;
    this.#random = random;
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Commands of one client until the daemon dies. Names are the client's own: nobody else changes what it knows. */
  async work(client: number): Promise<void> {
    this.#stopped = false;
    const { oci } = await buildImages();
    const image = `example.test/client-${client}:1`;
    while (!this.#stopped) {
      const choice = this.#random();
      if (choice < 0.2) await this.#ctr("images", "import", oci);
      else if (choice < 0.4) await this.#change(this.#images, image, "there", "images", "tag", "--force", IMAGE, image);
      else if (choice < 0.55) await this.#change(this.#images, image, "gone", "images", "rm", "--sync", image);
      else if (choice < 0.75)
        await this.#ctr("run", "--rm", "--runtime", this.#runtime, IMAGE, this.#engine.newId(), "true");
      else await this.#startOrEnd(client);
    }
  }

  /** A long-running container per client, made or removed. */
  async #startOrEnd(client: number): Promise<void> {
    const id = `${this.#engine.tag}-long-${client}`;
    if (!this.#engine.ids.includes(id)) this.#engine.ids.push(id);
    const known = this.#containers.get(id) ?? "gone";
    if (known === "gone") {
      const started = ["run", "-d", "--runtime", this.#runtime, "--null-io", IMAGE, id, "sleep", "100000"];
      return void (await this.#change(this.#containers, id, "there", ...started));
    }
    this.#containers.set(id, "either");
    const tasks = await this.#ctr("tasks", "rm", "--force", id);
    if (this.#stopped) return;
    if (tasks.code === 0 || /not found/.test(tasks.stderr)) {
      await this.#change(this.#containers, id, "gone", "containers", "rm", id);
    }
  }

  async #change(known: Map<string, Known>, name: string, to: Known, ...args: readonly string[]): Promise<void> {
    known.set(name, "either"); // also where nothing should change: to overwrite is to remove and to make
    const done = await this.#ctr(...args);
    if (done.code === 0) known.set(name, to);
  }

  async #ctr(...args: readonly string[]): Promise<Finished> {
    const done = await this.#engine.ctrWith({ timeoutMs: 60_000 }, ...args);
    if (done.code === 0) this.answered++;
    else if (this.#stopped) this.cutOff++;
    return done;
  }

  /** Throws with what was lost, or what is not whole. */
  async verify(): Promise<void> {
    await this.#expect("image", this.#images, await this.#names("images", "ls", "-q"));
    await this.#expect("container", this.#containers, await this.#names("containers", "ls", "-q"));
    const running = new Set(await this.#names("tasks", "ls", "-q"));
    for (const [id, known] of this.#containers) {
      if (known === "there") assert.ok(running.has(id), `the task of ${id} was acknowledged and is gone`);
    }
    const check = await this.#engine.ctrOk("images", "check");
    for (const line of check.split("\n").slice(1).filter(Boolean)) assert.match(line, /complete \(\d+\/\d+\)/, line);
    await verifyBlobs(join(this.#engine.dir, "root/io.containerd.content.v1.content/blobs/sha256"));
  }

  async #expect(kind: string, known: Map<string, Known>, names: readonly string[]): Promise<void> {
    for (const [name, state] of known) {
      const isThere = names.includes(name);
      if (state === "there") assert.ok(isThere, `${kind} ${name} was acknowledged and is gone`);
      if (state === "gone") assert.ok(!isThere, `the removal of ${kind} ${name} was acknowledged and it is there`);
      known.set(name, isThere ? (kind === "container" && state !== "there" ? "either" : "there") : "gone");
    }
  }

  /** Remove all that the rounds have made, with what they could not finish. */
  async clear(): Promise<void> {
    const ctr = (...args: readonly string[]) => this.#engine.ctr(...args);
    for (const id of await this.#names("tasks", "ls", "-q")) await ctr("tasks", "rm", "--force", id);
    for (const id of await this.#names("containers", "ls", "-q")) await ctr("containers", "rm", id);
    for (const name of await this.#names("images", "ls", "-q")) await ctr("images", "rm", name);
    for (const id of await this.#names("leases", "ls", "-q")) await ctr("leases", "rm", id);
    for (const key of (await this.#names("snapshots", "ls")).slice(1).reverse()) {
      await ctr("snapshots", "rm", key.split(/\s+/)[0] ?? "");
    }
    await ctr("leases", "create", "--id", "last");
    await this.#engine.ctrOk("leases", "rm", "--sync", "last");
  }

  async #names(...args: readonly string[]): Promise<string[]> {
    return (await this.#engine.ctrOk(...args)).split("\n").filter(Boolean);
  }
}

/** Every blob has the digest that is its name. One that nothing keeps may be collected meanwhile; `images check` has found the others. */
async function verifyBlobs(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const digest = await sha256Of(join(folder, name));
    if (digest !== undefined) assert.equal(digest, name, `blob ${name} is not whole`);
  }
}

/** Undefined if the file is gone. */
async function sha256Of(path: string): Promise<string | undefined> {
  const hash = createHash("sha256");
  try {
    for await (const chunk of createReadStream(path)) hash.update(chunk);
    return hash.digest("hex");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  }
}
