import { join } from "node:path";
import { BUILD_BIN, type Engine } from "../harness/containerd.ts";
import { IMAGE } from "../harness/images.ts";
import { type Finished, type RunOptions, run, shellQuote } from "../harness/process.ts";

/** What a scenario asks of a container, in nobody's syntax. */
export interface Wishes extends RunOptions {
  readonly tty?: boolean;
  readonly memoryBytes?: number;
  readonly cpus?: number;
  readonly user?: string;
  readonly readOnly?: boolean;
  /** Bind mounts; `ro` or `rw`. */
  readonly mounts?: readonly { readonly source: string; readonly target: string; readonly access: "ro" | "rw" }[];
}

/** A command line that drives containers. */
export interface Client {
  readonly name: string;
  run(id: string, wishes: Wishes, command: readonly string[]): Promise<Finished>;
  start(id: string, command: readonly string[]): Promise<Finished>;
  exec(id: string, wishes: Wishes, command: readonly string[]): Promise<Finished>;
  kill(id: string, signal: string): Promise<Finished>;
  /** Text that names each running container's id and its memory. */
  stats(id: string): Promise<Finished>;
  /** End it whatever it does, and take it away. */
  remove(id: string): Promise<Finished>;
  /** Text in which a line has the id and the state in any case. */
  list(): Promise<Finished>;
  pause(id: string): Promise<Finished>;
  resume(id: string): Promise<Finished>;
}

/** A `ctr` against an engine of whatever release. */
export function ctrClient(engine: Engine, name: string, ctr: string, runtime: string): Client {
  const base = [ctr, "--address", engine.address, "--namespace", engine.namespace];
  const say = (wishes: Wishes, ...words: readonly string[]) => command(engine, [...base, ...words], wishes);
  let execs = 0;
  return {
    name,
    run: (id, wishes, words) =>
      say(wishes, "run", "--rm", "--runtime", runtime, ...ctrFlags(wishes), IMAGE, id, ...words),
    start: (id, words) => say({}, "run", "-d", "--runtime", runtime, IMAGE, id, ...words),
    exec: (id, wishes, words) =>
      say(wishes, "task", "exec", "--exec-id", `e${++execs}`, ...ctrFlags(wishes), id, ...words),
    kill: (id, signal) => say({}, "task", "kill", "-s", signal, id),
    stats: async (id) => {
      const { code, stdout, stderr } = await say({}, "task", "metrics", id);
      return { code, stdout: `${id} ${stdout}`, stderr };
    },
    list: () => say({}, "task", "ls"),
    async remove(id) {
      await say({}, "task", "rm", "--force", id);
      return await say({}, "container", "rm", id);
    },
    pause: (id) => say({}, "task", "pause", id),
    resume: (id) => say({}, "task", "resume", id),
  };
}

function ctrFlags({ tty, memoryBytes, cpus, user, readOnly, mounts = [] }: Wishes): string[] {
  return [
    ...(tty ? ["-t"] : []),
    ...(memoryBytes === undefined ? [] : ["--memory-limit", String(memoryBytes)]),
    ...(cpus === undefined ? [] : ["--cpus", String(cpus)]),
    ...(user === undefined ? [] : ["--user", user]),
    ...(readOnly ? ["--read-only"] : []),
    ...mounts.flatMap(({ source, target, access }) => [
      "--mount",
      `type=bind,src=${source},dst=${target},options=rbind:${access}`,
    ]),
  ];
}

/** `trimaran`, by the daemon's socket: of containerd or of our own. */
export function trimaranClient(engine: Engine, runtime: string): Client {
  const own = ["root", "state"].flatMap((name) => [`--${name}`, join(engine.dir, `cli-${name}`)]);
  const rest = ["--address", engine.address, "--namespace", engine.namespace, ...own];
  const say = (wishes: Wishes, verb: string, ...words: readonly string[]) =>
    command(engine, [join(BUILD_BIN, "trimaran"), verb, ...rest, ...words], wishes);
  return {
    name: "trimaran",
    run: (id, wishes, words) =>
      say(wishes, "run", "--rm", "--runtime", runtime, "--name", id, ...trimaranFlags(wishes), IMAGE, ...words),
    start: (id, words) => say({}, "run", "-d", "--runtime", runtime, "--name", id, IMAGE, ...words),
    exec: (id, wishes, words) => say(wishes, "exec", ...trimaranFlags(wishes), id, ...words),
    kill: (id, signal) => say({}, "kill", "-s", signal, id),
    stats: (id) => say({}, "stats", "--once", "--json", id),
    list: () => say({}, "ps", "-a"),
    remove: (id) => say({}, "rm", "-f", id),
    pause: (id) => say({}, "pause", id),
    resume: (id) => say({}, "resume", id),
  };
}

function trimaranFlags({ tty, dialogue, stdin, memoryBytes, cpus, user, readOnly, mounts = [] }: Wishes): string[] {
  return [
    ...(tty ? ["-t"] : []),
    ...(dialogue !== undefined || stdin !== undefined ? ["-i"] : []),
    ...(memoryBytes === undefined ? [] : ["--memory", String(memoryBytes)]),
    ...(cpus === undefined ? [] : ["--cpus", String(cpus)]),
    ...(user === undefined ? [] : ["--user", user]),
    ...(readOnly ? ["--read-only"] : []),
    ...mounts.flatMap(({ source, target, access }) => [
      "--mount",
      `type=bind,src=${source},dst=${target},options=${access}`,
    ]),
  ];
}

/** On a terminal of 40 rows and 100 columns where one is asked for. */
function command(engine: Engine, argv: readonly string[], wishes: Wishes): Promise<Finished> {
  const options = {
    timeoutMs: LIMIT_MS,
    ...wishes,
    env: { ...process.env, TMPDIR: join(engine.dir, "tmp"), TRIMARAN_E2E: engine.tag },
  };
  if (wishes.tty !== true) return run(argv, options);
  const line = `stty rows 40 cols 100 -onlcr; exec ${argv.map(shellQuote).join(" ")}`;
  return run(["script", "-qefc", line, "/dev/null"], { dialogue: [], ...options });
}

const LIMIT_MS = 120_000;
