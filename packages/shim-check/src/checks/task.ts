import { existsSync } from "node:fs";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { ANY, containerd, io, packAny, taskV2, taskV3 } from "@trimaran/proto";
import { Code, StatusError } from "ttrpc-ts";
import { type Container, Status } from "../lab/container.ts";
import { describeError, expectEqual, expectError, expectThat, Finding, NotOffered } from "../lab/finding.ts";
import { within } from "../lab/patience.ts";
import { type Check, WRONG_STATE } from "./check.ts";

/** By Stats, because a virtual machine's limits are not in the host's cgroups. */
async function memoryLimitOf({ task, id }: Container): Promise<bigint | undefined> {
  const { stats } = await task.stats({ id });
  const { v1, v2 } = io.containerd.cgroups;
  if (stats?.typeUrl === ANY.cgroupV1Metrics) return v1.Metrics.decode(stats.value).memory?.usage?.limit;
  return v2.Metrics.decode(stats?.value ?? new Uint8Array()).memory?.usageLimit;
}

export const TASK: readonly Check[] = [
  {
    id: "task.both-versions",
    title: "task.v2 and task.v3 are the same service with the same tasks",
    sections: "2.5, 3",
    numbers: [31],
    run: async (lab) => {
      const container = await lab.running();
      const { id } = container;
      const other = await lab.reconnect(container, container.service === taskV2 ? taskV3 : taskV2);
      const answer = await other.state({ id });
      expectEqual("State by the other name", answer, await container.state());
      await container.end();
    },
  },
  {
    id: "task.connect",
    title: "Connect gives the pids; for an unknown id it is OK, with a shim_pid and task_pid 0",
    sections: "3.3",
    numbers: [31],
    run: async (lab) => {
      const container = await lab.running();
      const { shimPid, taskPid } = await container.task.connect({ id: container.id });
      expectEqual("task_pid", taskPid, container.pid);
      expectThat("a shim_pid", shimPid > 0, shimPid);
      const unknown = await container.task.connect({ id: "unknown" });
      expectEqual("task_pid of an unknown id", unknown.taskPid, 0);
      expectThat("a shim_pid for an unknown id", unknown.shimPid > 0, unknown.shimPid);
      await container.end();
    },
  },
  {
    id: "task.unknown-id",
    title: "every other call for an unknown id gets NotFound",
    sections: "3.3",
    numbers: [],
    run: async (lab) => {
      const container = await lab.running();
      const { task } = container;
      const id = "unknown";
      await expectError("State", task.state({ id }), Code.NotFound);
      await expectError("Start", task.start({ id }), Code.NotFound);
      await expectError("Delete", task.delete({ id }), Code.NotFound);
      await expectError("Kill", task.kill({ id, signal: 15 }), Code.NotFound);
      await expectError("Wait", task.wait({ id }), Code.NotFound);
      await expectError("Pids", task.pids({ id }), Code.NotFound);
      await expectError("Stats", task.stats({ id }), Code.NotFound);
      await container.finish();
    },
  },
  {
    id: "task.state",
    title: "State tells bundle, pid, streams and status: CREATED, RUNNING, STOPPED",
    sections: "3.1, 3.3",
    numbers: [],
    run: async (lab) => {
      const { stdout, paths } = await lab.output();
      const container = await lab.created("exec sleep 1000", {}, paths);
      const created = await container.state();
      expectEqual(
        "id, bundle, stdout",
        [created.id, created.bundle, created.stdout],
        [container.id, container.bundle.path, stdout.path],
      );
      expectEqual("status, pid", [created.status, created.pid], [Status.Created, container.pid]);
      await container.start();
      const running = await container.state();
      expectEqual("status, pid", [running.status, running.pid], [Status.Running, container.pid]);
      await container.kill();
      expectEqual("status", (await container.state()).status, Status.Stopped);
      await container.remove();
    },
  },
  {
    id: "task.host-pids",
    title: "without a PID namespace of its own a container's other processes end with its init",
    sections: "3.3",
    numbers: [41],
    run: async (lab) => {
      const { stdout, paths } = await lab.output();
      const script = "sleep 1000 & echo $!; exit 0";
      const container = await lab.exited(script, { hostPids: true }, paths);
      await lab.until("the child's pid", () => stdout.text.includes("\n"));
      const pid = Number(stdout.text);
      const isOurs = async () => (await readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "")).startsWith("sleep");
      await lab.until("the child gone", async () => !(await isOurs()));
      await container.remove();
    },
  },
  {
    id: "task.pids",
    title: "Pids lists init and execs, execs with ProcessDetails; after the exit it is OK and empty",
    sections: "3.3",
    numbers: [42],
    run: async (lab) => {
      const container = await lab.running();
      const execPid = await container.exec("one", "exec sleep 1000");
      const { processes } = await container.task.pids({ id: container.id });
      const pids = processes.map(({ pid }) => pid);
      for (const pid of [container.pid, execPid]) expectThat(`pid ${pid} in the list`, pids.includes(pid), pids);
      const info = processes.find(({ pid }) => pid === execPid)?.info;
      expectEqual("info of the exec", info?.typeUrl, ANY.runcProcessDetails);
      expectThat("the exec's id in it", Buffer.from(info?.value ?? []).includes("one"), info?.value);
      await container.kill();
      expectEqual("after the exit", (await container.task.pids({ id: container.id })).processes, []);
      await container.remove();
    },
  },
  {
    id: "task.pause",
    title: "Pause gives PAUSED, of execs too, and Resume RUNNING; Kill 9 of a paused task ends it",
    sections: "3.3",
    numbers: [43],
    run: async (lab) => {
      const container = await lab.running();
      const { id, task } = container;
      await container.exec("one", "exec sleep 1000");
      await task.pause({ id });
      expectEqual("status of init", (await container.state()).status, Status.Paused);
      expectEqual("status of the exec", (await container.state("one")).status, Status.Paused);
      await task.resume({ id });
      expectEqual("status after Resume", (await container.state()).status, Status.Running);
      await task.pause({ id });
      expectEqual("exit_status", await container.kill(), 137);
      await container.remove();
    },
  },
  {
    id: "task.pause-wrongly",
    title: "Pause of a paused task is an error, and Resume of one that runs; Delete of a paused one is refused",
    sections: "3.3",
    numbers: [43],
    run: async (lab) => {
      const container = await lab.running();
      const { id, task } = container;
      await expectError("Resume of a running task", task.resume({ id }), ...WRONG_STATE);
      await task.pause({ id });
      await expectError("Pause of a paused task", task.pause({ id }), ...WRONG_STATE);
      await expectError("Delete of a paused task", task.delete({ id }), ...WRONG_STATE);
      await task.resume({ id });
      await container.end();
    },
  },
  {
    id: "task.resize-close",
    title: "ResizePty without a terminal is OK, and CloseIO without stdin, again and again",
    sections: "3.3",
    numbers: [44],
    run: async (lab) => {
      const container = await lab.running();
      const { id, task } = container;
      await task.resizePty({ id, width: 80, height: 25 });
      await task.closeIO({ id, stdin: true });
      await task.closeIO({ id, stdin: true });
      await container.end();
    },
  },
  {
    id: "task.stats",
    title: "Stats has pids, cpu with usage and memory with usage, in one of the two types; it works until Delete",
    sections: "3.4",
    numbers: [45],
    run: async (lab) => {
      const container = await lab.running();
      const { id, task } = container;
      const { stats } = await task.stats({ id });
      if (stats?.typeUrl === ANY.cgroupV1Metrics) {
        const { pids, cpu, memory } = io.containerd.cgroups.v1.Metrics.decode(stats.value);
        expectThat("pids", (pids?.current ?? 0n) > 0n, pids);
        expectThat("cpu.usage", cpu?.usage !== undefined, cpu);
        expectThat("memory.usage", memory?.usage !== undefined, memory);
      } else if (stats?.typeUrl === ANY.cgroupV2Metrics) {
        const { pids, cpu, memory, memoryEvents } = io.containerd.cgroups.v2.Metrics.decode(stats.value);
        expectThat("pids", (pids?.current ?? 0n) > 0n, pids);
        expectThat("cpu, memory and memory_events", ![cpu, memory, memoryEvents].includes(undefined), "one is missing");
      } else throw new Finding(`${ANY.cgroupV1Metrics} or ${ANY.cgroupV2Metrics}`, stats?.typeUrl ?? "nothing");
      await container.kill();
      await task.stats({ id });
      await container.remove();
    },
  },
  {
    id: "task.update",
    title: "Update with memory alone leaves cpu as it was; of an exited task it is an error",
    sections: "3.3",
    numbers: [46],
    run: async (lab) => {
      const container = await lab.running();
      const { id, task } = container;
      const update = (resources: object) =>
        task.update({ id, resources: packAny(ANY.ociLinuxResources, Buffer.from(JSON.stringify(resources))) });
      const weight = () => lab.cgroupValue(container, "cpu.shares", "cpu.weight");
      const before = await weight();
      await update({ memory: { limit: 64 * 1024 * 1024 } });
      expectEqual("the memory limit in Stats", await memoryLimitOf(container), 64n * 1024n * 1024n);
      expectEqual("the cgroup's share of the cpu", await weight(), before);
      await container.kill();
      await expectError("Update of an exited task", update({ memory: { limit: 32 * 1024 * 1024 } }));
      await container.remove();
    },
  },
  {
    id: "task.shutdown-busy",
    title: "Shutdown while a task is there is OK and stops nothing, with now too",
    sections: "3.3",
    numbers: [47],
    run: async (lab) => {
      const container = await lab.running();
      const { id, task } = container;
      await task.shutdown({ id });
      await task.shutdown({ id, now: true });
      await container.moment();
      expectEqual("status", (await container.state()).status, Status.Running);
      await container.end();
    },
  },
  {
    id: "task.shutdown",
    title: "Shutdown without tasks is answered; then the process ends and its socket is gone",
    sections: "1.7, 3.3",
    numbers: [47],
    run: async (lab) => {
      const container = await lab.exited("true");
      const pid = await lab.daemonOf(container);
      await container.task.delete({ id: container.id });
      await container.task.shutdown({ id: container.id });
      await lab.gone("the shim", pid);
      expectEqual("a socket file", existsSync(container.shim.reply.address.replace(/^unix:\/\//, "")), false);
      await container.finish();
    },
  },
  {
    id: "task.answers-meanwhile",
    title: "State and Connect are answered within 2 s while a Create of another task of the pod hangs",
    sections: "3.3",
    numbers: [48],
    run: async (lab) => {
      const sandbox = await lab.running("exec sleep 1000", { pod: "own" });
      const logger = await lab.logger("sleep 3"); // never says that it is ready before it ends
      const second = await lab.shim("exec sleep 1000", { pod: sandbox.id });
      const create = second.create({ stdout: logger.uri, stderr: logger.uri }).catch(() => undefined);
      await second.moment(200);
      await within("an answer to State", sandbox.state(), 2000);
      await within("an answer to Connect", sandbox.task.connect({ id: second.id }), 2000);
      await create;
      second.shim.abandon();
      await lab.delete(second.shim.options);
      await sandbox.finish();
    },
  },
  {
    id: "task.checkpoint",
    title: "Checkpoint with exit writes an image into the folder and ends the task, or it answers code 12",
    sections: "3.3",
    numbers: [],
    run: async (lab) => {
      const container = await lab.running();
      const path = join(lab.folder, `${container.id}.checkpoint`);
      await mkdir(path);
      try {
        const exit = containerd.runc.v1.CheckpointOptions.encode({ exit: true });
        await container.task.checkpoint({ id: container.id, path, options: packAny(ANY.runcCheckpointOptions, exit) });
      } catch (error) {
        if (error instanceof StatusError && /criu/i.test(error.message))
          throw new NotOffered(`without CRIU: ${describeError(error)}`);
        throw error;
      }
      expectThat("files in it", (await readdir(path)).length > 0, "none");
      await container.wait();
      await container.remove();
    },
  },
];
