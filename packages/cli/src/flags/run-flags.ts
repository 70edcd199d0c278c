import { type OciMount, type PortMapping, parsePortMapping } from "@trimaran/manager";
import { DEFAULT_RUNTIME, type ManagerFlags } from "../cli-context.ts";
import type { TraceFlags } from "../trace/with-trace.ts";
import { managerFlags } from "./manager-flags.ts";
import { parseMount } from "./parse-mount.ts";
import { parseCount, parsePositive, parseSize } from "./parse-size.ts";
import { traceFlags } from "./trace-flags.ts";

/** The flags of `run`, parsed. */
export interface RunFlags extends ManagerFlags, TraceFlags {
  readonly runtime: string;
  readonly tty: boolean;
  readonly interactive: boolean;
  readonly detach: boolean;
  readonly rm: boolean;
  readonly name?: string;
  readonly env?: readonly string[];
  readonly mount?: readonly OciMount[];
  readonly memory?: number;
  readonly cpus?: number;
  readonly pidsLimit?: number;
  readonly user?: string;
  readonly cwd?: string;
  readonly hostname?: string;
  readonly net?: string;
  readonly netHost: boolean;
  readonly publish?: readonly PortMapping[];
  readonly readOnly: boolean;
  readonly rootfsRw: boolean;
  readonly privileged: boolean;
  readonly capAdd?: readonly string[];
  readonly capDrop?: readonly string[];
}

const off = { kind: "boolean", default: false, withNegated: false } as const;
const text = { kind: "parsed", parse: String, optional: true } as const;
const list = { kind: "parsed", parse: String, optional: true, variadic: true } as const;

/** The same for stricli. */
export const runFlags = {
  runtime: {
    kind: "parsed",
    parse: String,
    default: DEFAULT_RUNTIME,
    brief: "a.b.NAME.VERSION, or a shim's absolute path",
    placeholder: "R",
  },
  tty: { ...off, brief: "give it a terminal" },
  interactive: { ...off, brief: "connect stdin" },
  detach: { ...off, brief: "print the id and return; output goes to `trimaran logs`" },
  rm: { ...off, brief: "remove the container when it has exited" },
  name: { ...text, brief: "id of the container (default: random)", placeholder: "ID" },
  env: { ...list, parse: parseEnv, brief: "set a variable; K alone passes ours on", placeholder: "K=V" },
  mount: {
    kind: "parsed",
    parse: parseMount,
    optional: true,
    variadic: true,
    brief: "type=bind,src=/host,dst=/data,options=ro",
    placeholder: "M",
  },
  memory: { kind: "parsed", parse: parseSize, optional: true, brief: "limit, as 64m or 1g", placeholder: "SIZE" },
  cpus: { kind: "parsed", parse: parsePositive, optional: true, brief: "limit, as 1.5", placeholder: "N" },
  pidsLimit: { kind: "parsed", parse: parseCount, optional: true, brief: "limit of processes", placeholder: "N" },
  user: { ...text, brief: "USER[:GROUP], names or numbers", placeholder: "USER" },
  cwd: { ...text, brief: "working directory inside", placeholder: "DIR" },
  hostname: { ...text, brief: "host name inside", placeholder: "NAME" },
  net: { ...text, brief: "bridge, host, none (default), or a network of /etc/cni/net.d", placeholder: "NET" },
  netHost: { ...off, brief: "the same as --net host" },
  publish: {
    kind: "parsed",
    parse: parsePortMapping,
    optional: true,
    variadic: true,
    brief: "lead a port of the host to the container (and --net bridge)",
    placeholder: "[IP:]HOST:CONTAINER[/udp]",
  },
  readOnly: { ...off, brief: "read-only root filesystem" },
  rootfsRw: { ...off, brief: "use the rootfs directory itself, with no overlay over it" },
  privileged: { ...off, brief: "all capabilities and devices, nothing masked" },
  capAdd: { ...list, brief: "add a capability, or ALL", placeholder: "CAP" },
  capDrop: { ...list, brief: "drop a capability, or ALL", placeholder: "CAP" },
  ...traceFlags,
  ...managerFlags,
} as const;

/** One letter each, docker's where docker has one. */
export const runAliases = {
  t: "tty",
  i: "interactive",
  d: "detach",
  e: "env",
  u: "user",
  m: "memory",
  p: "publish",
} as const;

/** Checked here, looked up in our environment by the command. */
export function parseEnv(entry: string): string {
  if (/^[^=\0]+(=[^\0]*)?$/s.test(entry)) return entry;
  throw new RangeError(`${JSON.stringify(entry)}: not K=V`);
}

/** `K` alone becomes `K=` our own value, or is left out if we have none. */
export function resolveEnv(entries: readonly string[], environment: NodeJS.ProcessEnv): string[] {
  return entries.flatMap((entry) => {
    if (entry.includes("=")) return [entry];
    const value = environment[entry];
    return value === undefined ? [] : [`${entry}=${value}`];
  });
}
