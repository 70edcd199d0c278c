import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";

/** A message of the DevTools protocol, either way. */
interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly result?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly message: string };
}

const PROGRAM = "chromium-headless-shell";
const LIMIT_MS = 30_000;

/** Debian's Chromium without a window, driven by the DevTools protocol over two pipes. One page, until disposed. */
export class Browser implements AsyncDisposable {
  /** Every address that the page has asked for, in order. */
  readonly requests: string[] = [];
  /** What the page's console and its uncaught errors said; violations of its policy are among them. */
  readonly complaints: string[] = [];
  readonly #child: ChildProcess;
  readonly #profile: string;
  readonly #to: Writable;
  readonly #waiting = new Map<number, { resolve(message: Message): void }>();
  #next = 1;
  #session: string | undefined;

  private constructor(profile: string) {
    this.#profile = profile;
    // Root has no use for Chromium's sandbox, and the page is ours.
    const flags = [
      "--no-sandbox",
      "--disable-gpu",
      "--no-first-run",
      "--disable-background-networking",
      "--window-size=1280,800",
    ];
    this.#child = spawn(PROGRAM, ["--remote-debugging-pipe", `--user-data-dir=${profile}`, ...flags, "about:blank"], {
      stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
      detached: true, // a process group: Debian's program is a script, the browser is its child
    });
    this.#to = this.#child.stdio[3] as Writable;
    this.#to.on("error", () => undefined); // it has ended, which the reader tells
    void this.#read(this.#child.stdio[4] as Readable);
  }

  /** Throws if there is no such program. */
  static async open(): Promise<Browser> {
    const browser = new Browser(mkdtempSync(join(tmpdir(), "trimaran-browser-")));
    await once(browser.#child, "spawn");
    const { targetId } = await browser.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await browser.send("Target.attachToTarget", { targetId, flatten: true });
    browser.#session = String(sessionId);
    for (const domain of ["Page", "Runtime", "Network", "Log"]) await browser.send(`${domain}.enable`);
    return browser;
  }

  async go(url: string): Promise<void> {
    await this.send("Page.navigate", { url });
  }

  /** The value of an expression in the page, as JSON has it; a promise is waited for. */
  async evaluate<T>(expression: string): Promise<T> {
    const options = { expression, returnByValue: true, awaitPromise: true };
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", options);
    if (exceptionDetails !== undefined) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`);
    return (result as { readonly value: T }).value;
  }

  /** Once an expression is true in the page. Throws with the page's text when that takes too long. */
  async until(expression: string): Promise<void> {
    for (const end = performance.now() + LIMIT_MS; performance.now() < end; await delay(50))
      if (await this.evaluate<boolean>(`Boolean(${expression})`)) return;
    throw new Error(`never: ${expression}; the page: ${await this.evaluate<string>("document.body.innerText")}`);
  }

  /** Keep a picture of the page where E2E_SCREENSHOTS says, if it does: for whoever wants to see what a test saw. */
  async picture(name: string, directory = process.env.E2E_SCREENSHOTS): Promise<void> {
    if (directory === undefined) return;
    const { data } = await this.send("Page.captureScreenshot", { format: "png" });
    writeFileSync(join(directory, `${name}.png`), Buffer.from(String(data), "base64"));
  }

  async send(method: string, params: object = {}): Promise<Readonly<Record<string, unknown>>> {
    const id = this.#next++;
    const answer = new Promise<Message>((resolve) => this.#waiting.set(id, { resolve }));
    const session = this.#session === undefined ? {} : { sessionId: this.#session };
    this.#to.write(`${JSON.stringify({ id, method, params, ...session })}\0`);
    const { result, error } = await answer;
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result ?? {};
  }

  async #read(from: Readable): Promise<void> {
    let held = "";
    for await (const chunk of from.setEncoding("utf8")) {
      const parts = (held + String(chunk)).split("\0");
      held = parts.pop() ?? "";
      for (const part of parts) this.#take(JSON.parse(part) as Message);
    }
    for (const { resolve } of this.#waiting.values()) resolve({ error: { message: "the browser has ended" } });
  }

  #take(message: Message): void {
    const { id, method, params = {} } = message;
    if (id !== undefined) {
      this.#waiting.get(id)?.resolve(message);
      this.#waiting.delete(id);
    } else if (method === "Network.requestWillBeSent") {
      this.requests.push((params.request as { readonly url: string }).url);
    } else if (
      method === "Runtime.exceptionThrown" ||
      method === "Runtime.consoleAPICalled" ||
      method === "Log.entryAdded"
    ) {
      this.complaints.push(JSON.stringify(params));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, "exit");
    if (this.#child.pid !== undefined) process.kill(-this.#child.pid, "SIGKILL");
    await ended;
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
