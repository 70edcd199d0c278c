import { existsSync } from "node:fs";
import { BusConnection, type MethodCall } from "../dbus/connection.ts";
import { DBusError } from "../dbus/dbus-error.ts";
import type { Message } from "../dbus/message.ts";
import type { DBusValue, Variant } from "../dbus/value.ts";
import { errnoOf } from "../syscall/errno.ts";

/** Where systemd listens. */
export interface SystemdSockets {
  /** The system bus. */
  readonly bus: string;
  /** systemd's own socket, without a bus between; root's. */
  readonly direct: string;
  /** A directory that is there where systemd is PID 1. Source: sd_booted(3). */
  readonly booted: string;
}

/** The usual places. */
export const SYSTEMD_SOCKETS: SystemdSockets = {
  bus: "/run/dbus/system_bus_socket",
  direct: "/run/systemd/private",
  booted: "/run/systemd/system",
};

/** A unit's property: name and value. */
export type Property = readonly [name: string, value: Variant];

const SYSTEMD = "org.freedesktop.systemd1";
const MANAGER = { path: "/org/freedesktop/systemd1", interface: `${SYSTEMD}.Manager` };
const BUS = { destination: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus" };
const MATCH = `type='signal',sender='${SYSTEMD}',interface='${MANAGER.interface}',member='JobRemoved'`;

/**
 * systemd, for as long as a few calls take. By the system bus, which is the documented way; where there is none (early boot, a machine
 * without dbus), by systemd's own socket. Whoever opens it disposes it. Source: org.freedesktop.systemd1(5).
 */
export class Systemd implements Disposable {
  readonly #bus: BusConnection;
  readonly #destination: { readonly destination?: string };
  /** Results of jobs that have ended, by their path; signals may be faster than whoever waits for them. */
  readonly #ended = new Map<string, string>();
  #jobEnded = Promise.withResolvers<void>();

  private constructor(bus: BusConnection, destination: { readonly destination?: string }) {
    this.#bus = bus;
    this.#destination = destination;
    bus.onSignal = (message) => this.#hear(message);
  }

  /** Connect. `signal` limits it and all that follows. Throws DBusError, which says so where systemd is not what runs here. */
  static async open(signal: AbortSignal, sockets: SystemdSockets = SYSTEMD_SOCKETS): Promise<Systemd> {
    if (!existsSync(sockets.booted)) throw new DBusError(`systemd does not run here (no ${sockets.booted})`);
    const options = { uid: process.geteuid?.() ?? 0, signal };
    try {
      return await Systemd.#byBus(await BusConnection.open(sockets.bus, options));
    } catch (error) {
      if (!["ENOENT", "ECONNREFUSED"].includes(errnoOf(error) ?? "")) throw error;
    }
    return new Systemd(await BusConnection.open(sockets.direct, options), {}); // it tells of jobs without being asked
  }

  /** With the connection of a bus: say hello, and ask for the news of jobs. */
  static async #byBus(bus: BusConnection): Promise<Systemd> {
    using undo = new DisposableStack();
    undo.use(bus);
    await bus.call({ ...BUS, member: "Hello" });
    const systemd = new Systemd(bus, { destination: SYSTEMD });
    await bus.call({ ...BUS, member: "AddMatch", signature: "s", body: [MATCH] });
    await systemd.#call({ member: "Subscribe" });
    undo.move();
    return systemd;
  }

  /** Make a transient unit and start it. Resolves when it runs. */
  async startTransientUnit(unit: string, properties: readonly Property[]): Promise<void> {
    const body = [unit, "replace", toStructs(properties), []];
    await this.#job(unit, { member: "StartTransientUnit", signature: "ssa(sv)a(sa(sv))", body });
  }

  /** Stop a unit. Resolves when it has stopped. */
  async stopUnit(unit: string): Promise<void> {
    await this.#job(unit, { member: "StopUnit", signature: "ss", body: [unit, "replace"] });
  }

  /** Forget that a unit has failed, so that its name is free. */
  async resetFailedUnit(unit: string): Promise<void> {
    await this.#call({ member: "ResetFailedUnit", signature: "s", body: [unit] });
  }

  /** Change a unit until the next boot. */
  async setUnitProperties(unit: string, properties: readonly Property[]): Promise<void> {
    if (properties.length === 0) return;
    const body = [unit, true, toStructs(properties)];
    await this.#call({ member: "SetUnitProperties", signature: "sba(sv)", body });
  }

  [Symbol.dispose](): void {
    this.#bus[Symbol.dispose]();
  }

  async #job(unit: string, call: Pick<MethodCall, "member" | "signature" | "body">): Promise<void> {
    this.#ended.clear();
    const [job] = await this.#call(call);
    if (typeof job !== "string") throw new DBusError(`${call.member}: no job came back`);
    for (;;) {
      const result = this.#ended.get(job);
      if (result === "done") return;
      if (result !== undefined) throw new DBusError(`${unit}: its job ended as ${JSON.stringify(result)}`);
      await this.#bus.race(this.#jobEnded.promise);
    }
  }

  async #call(call: Pick<MethodCall, "member" | "signature" | "body">): Promise<readonly DBusValue[]> {
    return await this.#bus.call({ ...this.#destination, ...MANAGER, ...call });
  }

  /** JobRemoved: id, path, unit, result. */
  #hear({ interface: from, member, body }: Message): void {
    const [, job, , result] = body;
    if (from !== MANAGER.interface || member !== "JobRemoved") return;
    if (typeof job !== "string" || typeof result !== "string") return;
    this.#ended.set(job, result);
    this.#jobEnded.resolve();
    this.#jobEnded = Promise.withResolvers();
  }
}

function toStructs(properties: readonly Property[]): DBusValue {
  return properties.map(([name, value]) => [name, value]);
}
