import { randomBytes } from "node:crypto";
import { mkdir, rename, stat, unlink } from "node:fs/promises";
import { connect } from "node:net";
import { dirname } from "node:path";
import { ttrpcEvents } from "@trimaran/proto";
import { listenUnix, Server } from "ttrpc-ts";
import { parseEnvelope } from "./envelope.ts";
import type { EventExchange } from "./event-exchange.ts";

/**
 * containerd's ttrpc events service on a socket, so that shims can forward their events. Shims remember the address for life,
 * and several processes on the same directories have a manager inside: one that lives serves for all of them, and when it has
 * gone the next that needs it takes over. A shim with undelivered events takes its time to end.
 */
export class EventsServer implements AsyncDisposable {
  readonly #path: string;
  readonly #exchange: EventExchange;
  #ours: { readonly server: Server; readonly inode: number } | undefined;
  #ensuring: Promise<void> | undefined;

  constructor(path: string, exchange: EventExchange) {
    this.#path = path;
    this.#exchange = exchange;
  }

  /** See to it that somebody serves the socket now. */
  ensure(): Promise<void> {
    this.#ensuring ??= this.#serveUnlessServed().finally(() => {
      this.#ensuring = undefined;
    });
    return this.#ensuring;
  }

  /** Stop serving, and remove the socket if it is ours. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ensuring;
    const ours = this.#ours;
    this.#ours = undefined;
    if (ours === undefined) return;
    ours.server.close();
    if ((await inodeOf(this.#path)) === ours.inode) await unlink(this.#path).catch(() => {});
  }

  async #serveUnlessServed(): Promise<void> {
    const inode = await inodeOf(this.#path);
    if (inode !== undefined && (inode === this.#ours?.inode || (await answers(this.#path)))) return;
    this.#ours?.server.close();
    await mkdir(dirname(this.#path), { recursive: true, mode: 0o711 });
    const server = new Server();
    server.register(ttrpcEvents, {
      forward: ({ envelope }) => {
        this.#exchange.publish(parseEnvelope(envelope, BigInt(Date.now()) * 1_000_000n));
        return {};
      },
    });
    // Bound under another name and renamed: there is no moment without a socket that answers.
    const temporary = `${this.#path}.${randomBytes(3).toString("hex")}`;
    await listenUnix(server, temporary, { mode: 0o660 });
    const { ino } = await stat(temporary);
    await rename(temporary, this.#path);
    this.#ours = { server, inode: ino };
  }
}

async function inodeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.ino;
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
