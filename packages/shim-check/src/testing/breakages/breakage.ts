import { Code, HEADER_BYTES } from "ttrpc-ts";
import type { RecordedEvent } from "../../shim/fake-containerd.ts";
import type { Answer, Call, Hooks } from "../hooks.ts";

/** A way to break the contract, and the checks that must see it. */
export interface Breakage {
  readonly caughtBy: readonly string[];
  readonly hooks: Hooks;
}

type Change = (call: Call) => Answer | undefined | Promise<Answer | undefined>;

// biome-ignore lint/suspicious/noExplicitAny: an answer of any method
export type AnswerChange = (answer: any, call: Call) => Answer | undefined | Promise<Answer | undefined>;

export const OK: Answer = { value: {} };

export const NOT_FOUND: Answer = { code: Code.NotFound, message: "not found" };

export const LACKING: Answer = { code: Code.Unimplemented, message: "not implemented" };

/** A call of `method` is answered by `change`, unless it gives nothing. */
export const calls = (method: string, change: Change): Hooks => ({
  call: (call) => (call.method === method ? change(call) : undefined),
});

/** The answer to `method` becomes what `change` gives, unless that is nothing. */
export const answers = (method: string, change: AnswerChange): Hooks => ({
  answer: (call, answer) => (call.method === method ? change(answer, call) : undefined),
});

/** Success instead of an error. */
export const forgiving = (method: string): Hooks =>
  answers(method, ({ code }) => (code === undefined ? undefined : OK));

/** Fields of the answer to `method` are others. An error stays. */
export const edited = (method: string, change: (value: Record<string, unknown>, call: Call) => object): Hooks =>
  answers(method, (answer, call) => ("code" in answer ? undefined : { value: { ...answer, ...change(answer, call) } }));

/** What containerd is told instead of an event; `memory` is kept from one to the next. */
export const events = (change: (event: RecordedEvent, memory: RecordedEvent[]) => RecordedEvent[]): Hooks => ({
  event: change,
});

/** Whether it is about the container itself, not an exec. */
export const isInit = ({ request }: Call) => request.execId === undefined || request.execId === "";

/** `change` may write to the request before the shim gets it. */
export const request = (method: string, change: (request: Record<string, unknown>, call: Call) => void): Hooks =>
  calls(method, (call) => {
    change(call.request, call);
    return undefined;
  });

/** Whether a chunk ends in the middle of its first frame. */
export function isCut(bytes: Buffer): boolean {
  return bytes.length < HEADER_BYTES || bytes.length < HEADER_BYTES + bytes.readUInt32BE(0);
}
