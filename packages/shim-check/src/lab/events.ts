import { containerd } from "@trimaran/proto";
import type { RecordedEvent } from "../shim/fake-containerd.ts";

const PREFIX = "containerd.events.";

/** A task event, decoded. Fields that its message does not have are left out. */
export interface TaskEvent {
  /** `/tasks/exit`. */
  readonly topic: string;
  readonly containerId: string;
  /** The exec's id in the events of execs; TaskExit.id is kept as `id`. */
  readonly execId?: string;
  readonly id?: string;
  readonly pid?: number;
  readonly exitStatus?: number;
  readonly exitedAt?: { readonly seconds: bigint; readonly nanos: number };
  readonly io?: containerd.events.TaskIO;
  readonly rootfs?: readonly containerd.types.Mount[];
  readonly raw: RecordedEvent;
}

/** Decode an event of a task; undefined for what is none. */
export function toTaskEvent(raw: RecordedEvent): TaskEvent | undefined {
  if (!raw.topic.startsWith("/tasks/")) return undefined;
  const messages: Readonly<Record<string, unknown>> = containerd.events;
  const codec = messages[raw.typeUrl.slice(PREFIX.length)];
  if (!raw.typeUrl.startsWith(PREFIX) || !isCodec(codec)) return undefined;
  return { ...(codec.decode(raw.value) as { containerId: string }), topic: raw.topic, raw };
}

function isCodec(value: unknown): value is { decode(bytes: Uint8Array): unknown } {
  return typeof value === "object" && value !== null && "decode" in value;
}

/** `start`, `exec-added ID`, `exit ID`: an event as a list of them shows it. */
export function eventName({ topic, id, execId, containerId }: TaskEvent): string {
  const who = execId ?? (id === undefined || id === containerId ? "" : id);
  return `${topic.slice("/tasks/".length)}${who && ` ${who}`}`;
}
