import { agentV1, taskV3 } from "@trimaran/proto";
import type { Logger } from "@trimaran/shim-core";
import { Client, Code, channelFromStream, type ServiceClient, StatusError } from "ttrpc-ts";
import { greetAgent } from "./greet.ts";
import { guestError, guestText } from "./guest-text.ts";

/** Of proto/trimaran/agent.proto. */
const PROTOCOL_VERSION = 2;
/** For a call that the agent should answer at once: a guest under emulation, on a busy machine, needs seconds. */
const CALL_LIMIT_MS = 60_000;
/** After so long without an answer the call is made again, in a new conversation: a port does not tell that its other end has dropped one. */
const ATTEMPT_LIMIT_MS = 20_000;
const HELLO_LIMIT_MS = 20_000;
const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 250;
/** setTimeout's. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;
/** How long an agent that has left a call without an answer may take to greet. */
const WATCHDOG_LIMIT_MS = 30_000;
/** A guest does not need more at once; what the host asks for is smaller. */
const QUEUE_LIMIT_BYTES = 16 << 20;

/** The agent's services, on one connection. */
export interface AgentServices {
  readonly agent: ServiceClient<typeof agentV1>;
  readonly tasks: ServiceClient<typeof taskV3>;
}

/** What a connection needs. */
export interface ConnectionOptions {
  /** The unix socket that leads to the agent's port. */
  readonly path: string;
  readonly log: Logger;
  /** Milliseconds that an agent which has left a call without an answer may take to greet. Default: `WATCHDOG_LIMIT_MS`. */
  readonly watchdogLimitMs?: number;
}

function isLate(error: unknown): boolean {
  return error instanceof StatusError && error.code === Code.DeadlineExceeded;
}

interface Link extends AgentServices {
  readonly client: Client;
  isGone: boolean;
}

/** The way to one guest's agent. It is made when it is first needed, and again when it was lost; an idle one costs nothing. */
export class AgentConnection {
  /** The agent has broken the protocol: nothing that it says counts any more. */
  onLie: (why: string) => void = () => undefined;
  readonly #options: ConnectionOptions;
  readonly #ended = Promise.withResolvers<never>();
  #link: Promise<Link> | undefined;
  #end: StatusError | undefined;
  #isWatching = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#ended.promise.catch(() => undefined);
  }

  /** Why no call can succeed any more. */
  get end(): StatusError | undefined {
    return this.#end;
  }

  /**
   * Make a call that may be made again: it is, when the connection is lost under it. Rejects with the agent's error, its text made harmless; with
   * Unavailable when the guest has ended, or could not be reached within the limit; whether it is alive at all is then found out, and one that is not is
   * given up. `limitMs`: of all of it; 0: none, for calls that wait. `what`: the method, for that error.
   */
  async call<T>(
    make: (services: AgentServices, options: { readonly timeoutMs?: number }) => Promise<T>,
    { limitMs = CALL_LIMIT_MS, what = "" } = {},
  ): Promise<T> {
    const until = limitMs === 0 ? Number.POSITIVE_INFINITY : performance.now() + limitMs;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      if (this.#end) throw this.#end;
      let link: Link | undefined;
      try {
        link = await this.#connectUntil(until);
        const leftMs = Math.max(1, Math.min(until - performance.now(), ATTEMPT_LIMIT_MS));
        const timeout = limitMs === 0 ? {} : { timeoutMs: leftMs };
        return await Promise.race([make(link, timeout), this.#ended.promise]);
      } catch (error) {
        if (this.#end) throw this.#end;
        if (isLate(error) && link) this.#drop(link);
        if (!(await this.#isLost(link, error))) throw readable(error, what);
        if (performance.now() + pauseMs > until) {
          void this.#watch();
          throw readable(error, what);
        }
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  /** Resolves when the agent answers. Rejects as a call does. */
  async reach(limitMs: number): Promise<void> {
    await this.call(async () => undefined, { limitMs });
  }

  /** The guest has ended: every call fails with this from now on. */
  close(why: string): void {
    if (this.#end) return;
    this.#end = new StatusError(Code.Unavailable, why);
    this.#ended.reject(this.#end);
    void this.#link?.then(({ client }) => client.close()).catch(() => undefined);
  }

  /** The agent has broken the protocol. Returns the error for whoever noticed it. */
  lie(what: string): StatusError {
    const why = `agent: ${guestText(what)}`;
    this.#options.log.error("the guest's agent breaks its protocol", { error: why });
    this.close(why);
    this.onLie(why);
    return this.#end ?? new StatusError(Code.Unavailable, why);
  }

  /** Something was left without an answer: an agent that does not greet either is stuck, and its machine of no use. No timer runs before. */
  watch(): void {
    void this.#watch();
  }

  async #watch(): Promise<void> {
    if (this.#isWatching || this.#end) return;
    this.#isWatching = true;
    const { watchdogLimitMs = WATCHDOG_LIMIT_MS } = this.#options;
    try {
      const greeting = { version: PROTOCOL_VERSION };
      await this.call((services, options) => services.agent.hello(greeting, options), { limitMs: watchdogLimitMs });
    } catch (error) {
      const isSilent = error instanceof StatusError && error.code === Code.Unavailable;
      if (isSilent && !this.#end)
        this.#giveUp(`the agent does not answer: nothing in ${watchdogLimitMs} ms after a call`);
    } finally {
      this.#isWatching = false;
    }
  }

  #giveUp(why: string): void {
    this.#options.log.error("the guest is stuck: its machine is ended", { error: why });
    this.close(why);
    this.onLie(why);
  }

  /** Rejects with DeadlineExceeded when it takes longer; the attempt goes on, for whoever calls next. */
  async #connectUntil(until: number): Promise<Link> {
    const late = Promise.withResolvers<never>();
    const leftMs = until - performance.now();
    const fail = () => late.reject(new StatusError(Code.DeadlineExceeded, "agent: does not answer"));
    const timer = leftMs < LONGEST_TIMER_MS ? setTimeout(fail, Math.max(0, leftMs)) : undefined;
    try {
      return await Promise.race([this.#connect(), this.#ended.promise, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Other calls of it are made again at once: they don't fail with it. */
  #drop(link: Link): void {
    link.isGone = true;
    link.client.close();
  }

  #connect(): Promise<Link> {
    if (this.#link) return this.#link;
    const link = this.#open();
    this.#link = link;
    const forget = (): void => {
      if (this.#link === link) this.#link = undefined;
    };
    link.then(({ client }) => client.closed.then(forget), forget);
    return link;
  }

  async #open(): Promise<Link> {
    const socket = await greetAgent(this.#options.path);
    const client = new Client(channelFromStream(socket, { limitBytes: QUEUE_LIMIT_BYTES }));
    socket.resume(); // it was paused until somebody listens
    const link: Link = { client, agent: client.service(agentV1), tasks: client.service(taskV3), isGone: false };
    void client.closed.then(() => {
      link.isGone = true;
    });
    try {
      const { version } = await link.agent.hello({ version: PROTOCOL_VERSION }, { timeoutMs: HELLO_LIMIT_MS });
      if (version === PROTOCOL_VERSION) return link;
    } catch (error) {
      client.close();
      throw error;
    }
    client.close();
    throw this.lie("answers with another version than it was asked for");
  }

  /** Whether the same call may succeed on another connection. */
  async #isLost(link: Link | undefined, error: unknown): Promise<boolean> {
    if (!link) return error instanceof StatusError && error.code !== Code.FailedPrecondition;
    if (isLate(error)) return true;
    await new Promise(setImmediate); // `closed` is settled after the calls are
    return link.isGone;
  }
}

function readable(error: unknown, what: string): unknown {
  if (!(error instanceof StatusError)) return error;
  if (error.code !== Code.DeadlineExceeded) return guestError(error);
  return new StatusError(Code.Unavailable, `agent: does not answer${what === "" ? "" : ` ${what}`}`);
}
