import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { lazyNative } from "../../syscall/native.ts";
import { Cgroup, type CgroupTools, type CreateCgroupOptions } from "../cgroup.ts";
import { DevicePrograms } from "../devices-v2.ts";
import { type CgroupHost, detectCgroups } from "../host.ts";
import { planCgroup } from "../plan.ts";
import type { LinuxResources } from "../resources.ts";

/** This machine's cgroups below a name of the test's own, removed with everything in them at dispose. */
export class CgroupSandbox implements AsyncDisposable {
  readonly tools: CgroupTools;
  readonly #made: Cgroup[] = [];
  readonly #children: ChildProcess[] = [];
  #count = 0;

  constructor() {
    const native = lazyNative();
    this.tools = { native, devicePrograms: new DevicePrograms(native) };
  }

  /** Make a cgroup under `/trimaran-test-PID/N`. */
  create(host: CgroupHost, resources?: LinuxResources, options?: CreateCgroupOptions): Cgroup {
    const plan = planCgroup(host, `/trimaran-test-${process.pid}/${this.#count++}`, "unused");
    const cgroup = Cgroup.create(host, plan, resources, this.tools, options);
    this.#made.push(cgroup);
    return cgroup;
  }

  /** Run a shell script in the cgroup: it attaches itself first, as a container's init does. */
  start(cgroup: Cgroup, script: string, options: { clonedIntoUnified?: boolean } = {}): ChildProcess {
    const attach = cgroup.attachFiles(options).map((file) => `echo 0 > '${file}'`);
    const child = spawn("sh", ["-c", [...attach, "echo in", script].join("\n")], { stdio: ["pipe", "pipe", "ignore"] });
    this.#children.push(child);
    return child;
  }

  /** Run a script to its end: what it printed, and how it ended. */
  async run(cgroup: Cgroup, script: string): Promise<{ output: string; code: number | null; signal: string | null }> {
    const child = this.start(cgroup, script);
    let output = "";
    child.stdout?.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
    const [code, signal]: [number | null, string | null] = await once(child, "close").then(([c, s]) => [c, s]);
    return { output: output.replace(/^in\n/, ""), code, signal };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const cgroup of this.#made.toReversed()) {
      await cgroup.kill();
      await cgroup.remove();
    }
    for (const child of this.#children) child.kill("SIGKILL");
    this.tools.devicePrograms[Symbol.dispose]();
  }
}

/** This machine as it is, and, if it has v1 hierarchies beside a unified tree, as v1 only. */
export function realHosts(): CgroupHost[] {
  const host = detectCgroups();
  if (host.mode !== "hybrid") return [host];
  return [host, { ...host, mode: "v1", unified: undefined }];
}

/** A file of one controller's directory, trimmed. */
export function readBack(cgroup: Cgroup, controller: string, file: string): string {
  const directory = cgroup.plan.hierarchies.find(({ controllers }) => controllers.includes(controller))?.directory;
  return readFileSync(`${directory ?? cgroup.plan.unified}/${file}`, "utf8").trim();
}
