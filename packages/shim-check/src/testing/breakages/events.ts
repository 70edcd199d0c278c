import { containerd } from "@trimaran/proto";
import type { Hooks } from "../hooks.ts";
import { type Breakage, events } from "./breakage.ts";

const drop = (topic: string): Hooks => events((event) => (event.topic === topic ? [] : [event]));

/** An event of `topic` is held back until the next one, which it then follows. */
const swap = (topic: string): Hooks =>
  events((event, memory) => {
    if (event.topic === topic && memory.length === 0) {
      memory.push(event);
      return [];
    }
    return [event, ...memory.splice(0)];
  });

/** Exits of execs are told after init's. */
function execExitsLast(): Hooks {
  const { TaskExit } = containerd.events;
  return events((event, memory) => {
    if (event.topic !== "/tasks/exit") return [event];
    const { id, containerId } = TaskExit.decode(event.value);
    if (id === containerId) return [event, ...memory.splice(0)];
    memory.push(event);
    return [];
  });
}

const taskExit = (change: (exit: containerd.events.TaskExit) => object): Hooks =>
  events((event) => {
    if (event.topic !== "/tasks/exit") return [event];
    const { TaskExit } = containerd.events;
    const exit = TaskExit.decode(event.value);
    return [{ ...event, value: TaskExit.encode({ ...exit, ...change(exit) }) }];
  });

export const EVENTS: Readonly<Record<string, Breakage>> = {
  "events: no start": { caughtBy: ["events.order", "events.drained"], hooks: drop("/tasks/start") },
  "events: exit before start": { caughtBy: ["events.order"], hooks: swap("/tasks/start") },
  "events: an empty io": {
    caughtBy: ["events.create"],
    hooks: events((event) => {
      if (event.topic !== "/tasks/create") return [event];
      const { TaskCreate } = containerd.events;
      return [{ ...event, value: TaskCreate.encode({ ...TaskCreate.decode(event.value), io: {} }) }];
    }),
  },
  "events: another pid in exit": {
    caughtBy: ["events.exit", "events.exec"],
    hooks: taskExit(({ pid }) => ({ pid: pid + 1 })),
  },
  "events: exit is 0": {
    caughtBy: ["restart.exit-meanwhile", "task.exit-status"],
    hooks: taskExit(() => ({ exitStatus: 0 })),
  },
  "events: no exec-started": { caughtBy: ["events.exec"], hooks: drop("/tasks/exec-started") },
  "events: an exit of an exec after init's": { caughtBy: ["exec.races-exit"], hooks: execExitsLast() },
  "events: OOM after the exit": { caughtBy: ["events.oom"], hooks: swap("/tasks/oom") },
  "events: no time": { caughtBy: ["events.envelope"], hooks: events((event) => [{ ...event, timestampNs: 0n }]) },
  "events: no namespace in the metadata": {
    caughtBy: ["events.envelope"],
    hooks: events((event) => [{ ...event, metadataNamespace: "" }]),
  },
  "events: lost while containerd is away": {
    caughtBy: ["events.outage", "faults.events-flap"],
    hooks: { dropsEvents: true },
  },
  "events: told twice": {
    caughtBy: ["events.outage", "faults.events-flap"],
    hooks: events((event) => (event.topic === "/tasks/exit" ? [event, event] : [event])),
  },
};
