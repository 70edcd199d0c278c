import { readFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ANY, type containerd, io, packAny } from "@trimaran/proto";
import { type BundleOptions, ociProcess } from "../harness/bundle.ts";
import type { ShimYard, StartedShim } from "../harness/shims.ts";

/** stderr has a file of its own, which stays empty: upstream's shim dies of stdout alone, and of one file for both it loses output. */
const openFiles = (output: string) => ({ stdout: `file://${output}`, stderr: `file://${output}.err` });

/** The folder of a process's cgroup. */
async function cgroupOf(pid: number): Promise<string> {
  const path = /^0::(.*)$/m.exec(await readFile(`/proc/${pid}/cgroup`, "utf8"))?.[1];
  if (path === undefined) throw new Error(`process ${pid} has no unified cgroup`);
  return join("/sys/fs/cgroup", path);
}

/** The container's figures, as io.containerd.cgroups.v2.Metrics has them. */
export type Metrics = io.containerd.cgroups.v2.Metrics;

/** A container driven through a shim's task API, on a machine with cgroup v2. It is removed with its yard, or by `remove`. */
export class Container {
  readonly id: string;
  /** Init's pid on this machine. */
  readonly pid: number;
  /** The cgroup's folder. */
  readonly cgroup: string;
  readonly #pod: StartedShim;
  readonly #output: string;
  #execs = 0;

  private constructor(cgroup: string, pod: StartedShim, output: string, pid: number) {
    this.id = pod.id;
    this.pid = pid;
    this.cgroup = cgroup;
    this.#pod = pod;
    this.#output = output;
  }

  /** Create and start `sh -c SCRIPT`. Its stdout and stderr go to a file. */
  static async start(yard: ShimYard, script: string, options: Partial<BundleOptions> = {}): Promise<Container> {
    const pod = await yard.start(["sh", "-c", `exec 2>&1\n${script}`], options);
    const output = join(yard.containerd.dir, `${pod.id}.out`);
    await writeFile(output, "");
    const { id, bundle } = pod;
    const stdio = openFiles(output);
    const { pid } = await pod.shim.task.create({
      ...{ id, bundle: bundle.path, rootfs: bundle.mounts, ...stdio },
      ...(yard.kind.options && { options: yard.kind.options }),
    });
    await pod.shim.task.start({ id });
    return new Container(await cgroupOf(pid), pod, output, pid);
  }

  /** The shim's task service. */
  get task(): StartedShim["shim"]["task"] {
    return this.#pod.shim.task;
  }

  /** A file of the cgroup, trimmed. */
  file(name: string): string {
    return readFileSync(join(this.cgroup, name), "utf8").trim();
  }

  /** A number of a file with lines `KEY NUMBER`. Throws if there is no such key. */
  count(name: string, key: string): number {
    const value = new RegExp(`^${key} (\\d+)$`, "m").exec(this.file(name))?.[1];
    if (value === undefined) throw new Error(`${name}: no ${key} in ${JSON.stringify(this.file(name))}`);
    return Number(value);
  }

  /** Wait for the end: the exit status. */
  async ended(): Promise<number> {
    return (await this.task.wait({ id: this.id })).exitStatus;
  }

  /** What it has written by now. */
  async output(): Promise<string> {
    return await readFile(this.#output, "utf8");
  }

  /** Run a script inside, to its end: the exit status and what it wrote. `process` is added to the exec's own. */
  async exec(script: string, process: object = {}): Promise<{ readonly code: number; readonly output: string }> {
    const { id } = this;
    this.#execs += 1;
    const execId = `exec-${this.#execs}`;
    const output = `${this.#output}.${execId}`;
    await writeFile(output, "");
    const stdio = openFiles(output);
    const spec = { ...ociProcess(["sh", "-c", `exec 2>&1\n${script}`]), ...process };
    await this.task.exec({
      ...{ id, execId, ...stdio },
      spec: packAny(ANY.ociProcess, Buffer.from(JSON.stringify(spec))),
    });
    await this.task.start({ id, execId });
    const { exitStatus } = await this.task.wait({ id, execId });
    await this.task.delete({ id, execId });
    return { code: exitStatus, output: await readFile(output, "utf8") };
  }

  /** Task Update with OCI's LinuxResources. */
  async update(resources: object): Promise<void> {
    const value = Buffer.from(JSON.stringify(resources));
    await this.task.update({ id: this.id, resources: packAny(ANY.ociLinuxResources, value) });
  }

  /** Task Stats. Throws if the answer is not cgroup v2's. */
  async metrics(): Promise<Metrics> {
    const { stats } = await this.task.stats({ id: this.id });
    if (stats?.typeUrl !== ANY.cgroupV2Metrics) throw new Error(`stats are of type ${stats?.typeUrl}`);
    return io.containerd.cgroups.v2.Metrics.decode(stats.value);
  }

  /** Kill it, if it runs, and remove it. */
  async remove(): Promise<containerd.task.v2.DeleteResponse> {
    await this.task.kill({ id: this.id, signal: 9, all: true });
    await this.ended();
    return await this.#pod.shim.remove();
  }
}
