import { mkdirSync } from "node:fs";
import type { LocalPod } from "@trimaran/shim-core";
import { makeFifo, removeStreams } from "../streams/fifo.ts";
import { InputStream } from "../streams/input.ts";
import { OutputStream } from "../streams/output.ts";

/** The task service of this very process. */
export type Tasks = Pick<LocalPod, "call">;

/** What a process is called: the container's id, and the exec's or nothing. */
export interface ProcessName {
  readonly id: string;
  readonly execId: string;
}

/** Streams that the host wants. */
export interface WantedStreams {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly terminal: boolean;
  /** One that is there: not to be made. */
  readonly stdinFifo?: string;
}

/** The strings that the task service gets. */
export interface StreamPaths {
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly terminal: boolean;
}

/** A container's init or an exec: the agent is the client at the other end of its FIFOs, as containerd's clients are on a host. */
export class GuestProcess {
  readonly name: ProcessName;
  readonly paths: StreamPaths;
  readonly stdin: InputStream | undefined;
  readonly stdout: OutputStream | undefined;
  readonly stderr: OutputStream | undefined;
  pid = 0;
  /** Names the request that has added it. */
  addedBy = "";
  readonly #tasks: Tasks;
  readonly #directory: string;
  #start: Promise<number> | undefined;

  /** `directory`: of its own, for the FIFOs. */
  constructor(tasks: Tasks, name: ProcessName, wanted: WantedStreams, directory: string) {
    this.#tasks = tasks;
    this.name = name;
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const fifo = (stream: string, isWanted: boolean): string => {
      if (!isWanted) return "";
      makeFifo(`${directory}/${stream}`);
      return `${directory}/${stream}`;
    };
    const { terminal } = wanted;
    this.paths = {
      stdin: wanted.stdinFifo || fifo("stdin", wanted.stdin),
      stdout: fifo("stdout", wanted.stdout),
      stderr: fifo("stderr", wanted.stderr && !terminal),
      terminal,
    };
    const { stdin, stdout, stderr } = this.paths;
    this.stdin = stdin === "" ? undefined : new InputStream(stdin, () => void this.#closeInput());
    this.stdout = stdout === "" ? undefined : new OutputStream(stdout);
    this.stderr = stderr === "" ? undefined : new OutputStream(stderr);
  }

  /** Whether Start has been asked for. */
  get isStarted(): boolean {
    return this.#start !== undefined;
  }

  /** The other ends of the FIFOs are open. */
  begin(): void {
    for (const stream of [this.stdin, this.stdout, this.stderr]) stream?.begin();
  }

  /** Start it; again gives the same answer. */
  start(): Promise<number> {
    this.#start ??= this.#tasks
      .call((tasks) => tasks.start({ ...this.name }))
      .then(({ pid }) => {
        this.pid = pid;
        if (this.name.execId !== "") this.begin(); // an exec's FIFOs are opened now
        return pid;
      });
    return this.#start;
  }

  /** Streams are closed, and their files are gone. */
  close(): void {
    for (const stream of [this.stdin, this.stdout, this.stderr]) stream?.close();
    const { stdin, stdout, stderr } = this.paths;
    removeStreams(
      this.#directory,
      [stdin, stdout, stderr].filter((path) => path !== ""),
    );
  }

  /** It may have ended, which is as good. */
  async #closeInput(): Promise<void> {
    await this.#tasks.call((tasks) => tasks.closeIO({ ...this.name, stdin: true })).catch(() => undefined);
  }
}
