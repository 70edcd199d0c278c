import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import type { Engine } from "./containerd.ts";
import { PATIENCE } from "./patience.ts";

/** A line of `ctr events`. */
export interface EngineEvent {
  readonly topic: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** The engine's events from now on, in order, as `ctr events` prints them. Dispose it to end that ctr. */
export interface EventLog extends AsyncDisposable {
  /** The events of one container so far. */
  of(containerId: string): EngineEvent[];
  /** Wait for an event of that container. Fails with what there was instead. */
  reached(containerId: string, topic: string, timeoutMs?: number): Promise<void>;
}

/** Subscribe. Returns when events really arrive, which ctr does not say: so one is made, again and again. */
export async function watchEvents(engine: Engine): Promise<EventLog> {
  const ctr = engine.spawnCtr("events");
  const entries: EngineEvent[] = [];
  let rest = "";
  ctr.stdout.setEncoding("utf8").on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const [, topic, body] = / (\/\S+) (\{.*\})$/.exec(line) ?? [];
      if (topic !== undefined && body !== undefined) entries.push({ topic, body: JSON.parse(body) });
    }
  });
  const log: EventLog = {
    of: (id) => entries.filter(({ body }) => body.container_id === id),
    async reached(id, topic, timeoutMs = 10_000) {
      const until = Date.now() + timeoutMs * PATIENCE;
      while (!log.of(id).some((entry) => entry.topic === topic)) {
        if (Date.now() > until)
          assert.fail(
            `no ${topic} for ${id}; but ${log
              .of(id)
              .map((entry) => entry.topic)
              .join(" ")}`,
          );
        await delay(20);
      }
    },
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => ctr.once("close", resolve));
      ctr.kill("SIGKILL");
      await closed;
    },
  };
  for (let attempt = 0; entries.length === 0; attempt++) {
    if (attempt > 50) throw new Error("ctr events shows nothing");
    await engine.ctrOk("namespaces", "label", engine.namespace, `watched=${attempt}`);
    await delay(20);
  }
  return log;
}
