import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** How a registry for tests is to be like. */
export interface DockerRegistryOptions {
  /** A line of htpasswd, with bcrypt. */
  readonly htpasswd?: string;
  /** Paths of a certificate and its key; with them it speaks https. */
  readonly tls?: { readonly certificate: string; readonly key: string };
}

const READY_MS = 20_000;

/** Debian's docker-registry on a port of its own, with all its files in a folder of the caller's. */
export class DockerRegistry implements AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  readonly #process: ChildProcess;

  private constructor(host: string, process: ChildProcess) {
    this.host = host;
    this.#process = process;
  }

  /** Throws if the program is missing or does not listen within 20 s, with what it said. */
  static async open(folder: string, options: DockerRegistryOptions = {}): Promise<DockerRegistry> {
    const config = join(folder, "registry.yml");
    writeFileSync(config, configOf(folder, options));
    if (options.htpasswd !== undefined) writeFileSync(join(folder, "htpasswd"), `${options.htpasswd}\n`);
    const child = spawn("docker-registry", ["serve", config], {
      cwd: folder,
      env: { PATH: process.env.PATH, OTEL_TRACES_EXPORTER: "none" },
      stdio: ["ignore", "ignore", "pipe"],
    });
    const said: string[] = [];
    const timer = setTimeout(() => child.kill("SIGKILL"), READY_MS);
    try {
      child.once("error", (error) => said.push(error.message));
      for await (const line of createInterface(child.stderr)) {
        said.push(line);
        const host = /listening on (127\.0\.0\.1:\d+)/.exec(line)?.[1];
        if (host === undefined) continue;
        child.stderr.resume();
        return new DockerRegistry(host, child);
      }
      throw new Error(`docker-registry does not listen:\n${said.join("\n")}`);
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill("SIGKILL");
    await once(this.#process, "exit");
  }
}

function configOf(folder: string, { htpasswd, tls }: DockerRegistryOptions): string {
  const json = {
    version: 0.1,
    log: { level: "info", accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(folder, "data") }, delete: { enabled: true } },
    http: {
      addr: "127.0.0.1:0",
      secret: "for tests",
      ...(tls && { tls: { certificate: tls.certificate, key: tls.key } }),
    },
    ...(htpasswd !== undefined && { auth: { htpasswd: { realm: "tests", path: join(folder, "htpasswd") } } }),
  };
  return JSON.stringify(json); // which is YAML
}
