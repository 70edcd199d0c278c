import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ensureRecentRunsc } from "../../../tools/debian.ts";
import type { EngineVersion, RuntimeHandler } from "../config.ts";
import { BUILD_BIN } from "../containerd.ts";
import { CONTROL, GVISOR } from "../runtimes.ts";

/** What a handler is to be like, besides its runtime. */
export interface HandlerOptions {
  /** Lines of runsc's flags. */
  readonly flags?: string;
  /** Seconds by which `runsc kill` ends later than it has worked. Default: 0. */
  readonly killDelayS?: number;
  /** Whether systemd makes the cgroups: with shim-runc, and runc's own. */
  readonly systemdCgroup?: boolean;
  readonly sandboxer?: RuntimeHandler["sandboxer"];
  /** Upstream's type, and the shim's path: containerd 2.x asks no other type what it can do. */
  readonly byPath?: boolean;
}

/** The runsc that goes with an engine: Debian 12's with 1.6, the backports' with 2.x. */
export async function runscOf(version: EngineVersion): Promise<string> {
  return version === "1.6" ? "/usr/bin/runsc" : await ensureRecentRunsc();
}

/** A handler for the runtime; gVisor's as its README says it, with the options of gVisor's own shim in a new file `path`. */
export async function writeHandler(
  path: string,
  runtime: string,
  version: EngineVersion,
  { flags = "", killDelayS = 0, systemdCgroup = false, sandboxer, byPath = false }: HandlerOptions = {},
): Promise<RuntimeHandler> {
  const type = byPath ? { type: CONTROL, path: join(BUILD_BIN, toBinary(runtime)) } : { type: runtime };
  const handler = { ...type, ...(sandboxer && { sandboxer }) };
  await mkdir(dirname(path), { recursive: true });
  if (runtime !== GVISOR)
    return systemdCgroup ? { ...handler, options: await systemdOption(path, runtime, version) } : handler;
  const runsc = await runscOf(version);
  const program = killDelayS > 0 ? await writeSlowRunsc(`${path}.sh`, runsc, killDelayS) : runsc;
  await writeFile(path, `binary_name = "${program}"\n[runsc_config]\n${flags}\n`);
  return { ...handler, options: `TypeUrl = "io.containerd.runsc.v1.options"\nConfigPath = "${path}"` };
}

/** As the README has it: 1.6 hands options of another runtime than runc's on as a file's name only. */
async function systemdOption(path: string, runtime: string, version: EngineVersion): Promise<string> {
  const option = "SystemdCgroup = true";
  if (runtime === CONTROL || version !== "1.6") return option;
  await writeFile(path, `${option}\n`);
  return `ConfigPath = "${path}"`;
}

/** As containerd has it: `io.containerd.NAME.vN` is containerd-shim-NAME-vN. */
function toBinary(runtime: string): string {
  return `containerd-shim-${runtime.split(".").slice(2).join("-")}`;
}

async function writeSlowRunsc(path: string, runsc: string, delayS: number): Promise<string> {
  const script = `case " $* " in *" kill "*) "${runsc}" "$@"; status=$?; sleep ${delayS}; exit $status;; esac`;
  await writeFile(path, `#!/bin/sh\n${script}\nexec "${runsc}" "$@"\n`, { mode: 0o755 });
  return path;
}
