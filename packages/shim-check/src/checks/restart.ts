import { signal } from "../host/process-state.ts";
import { expectEqual, expectThat } from "../lab/finding.ts";
import { within } from "../lab/patience.ts";
import type { Check } from "./check.ts";

export const RESTART: readonly Check[] = [
  {
    id: "restart.running",
    title:
      "when containerd is killed and comes again, a running task is there with its pid, for Connect, Pids, State and Wait",
    sections: "2.10",
    numbers: [60],
    run: async (lab) => {
      const container = await lab.running();
      const { id, pid } = container;
      container.shim.abandon();
      lab.lane.containerd.stop();
      await container.moment();
      await lab.lane.containerd.resume();
      const task = await lab.reconnect(container);
      expectEqual("task_pid of Connect", (await task.connect({ id })).taskPid, pid);
      const { processes } = await task.pids({ id });
      expectThat(
        `pid ${pid} in Pids`,
        processes.some((each) => each.pid === pid),
        processes,
      );
      expectEqual("status", (await task.state({ id })).status, 2);
      await task.kill({ id, signal: 9 });
      expectEqual("exit_status", (await task.wait({ id })).exitStatus, 137);
      await task.delete({ id });
      await task.shutdown({ id }).catch(() => undefined);
      await lab.delete(container.shim.options);
    },
  },
  {
    id: "restart.exit-meanwhile",
    title: "the exit of a task while nobody is connected is exact for the next client, and its event arrives",
    sections: "2.10, 4",
    numbers: [60, 61],
    run: async (lab) => {
      const container = await lab.running("sleep 0.3; exit 21");
      const { id } = container;
      container.shim.abandon();
      lab.lane.containerd.stop();
      await container.moment(800);
      await lab.lane.containerd.resume();
      const task = await lab.reconnect(container);
      expectEqual("exit_status of Wait", (await task.wait({ id })).exitStatus, 21);
      expectEqual("exit_status of State", (await task.state({ id })).exitStatus, 21);
      expectEqual("exit_status of the event", (await lab.event(container, "exit")).exitStatus, 21);
      await task.delete({ id });
      await task.shutdown({ id }).catch(() => undefined);
      await lab.delete(container.shim.options);
    },
  },
  {
    id: "restart.waiting-client-gone",
    title: "a client that goes away in the middle of Wait and Delete leaves both possible for the next one",
    sections: "1.4, 3.3",
    numbers: [38, 60],
    run: async (lab) => {
      const container = await lab.running();
      const { id } = container;
      const first = await lab.raw(container);
      container.wait().catch(() => undefined); // gets no answer
      first[Symbol.dispose]();
      container.shim.abandon();
      const task = await lab.reconnect(container);
      const wait = task.wait({ id });
      await task.kill({ id, signal: 9 });
      expectEqual("exit_status", (await wait).exitStatus, 137);
      await task.delete({ id });
      await task.shutdown({ id }).catch(() => undefined);
      await lab.delete(container.shim.options);
    },
  },
  {
    id: "restart.shim-killed",
    title: "when the shim's process is killed the connection closes, delete tells 137, and the container is gone",
    sections: "2.8",
    numbers: [62],
    run: async (lab) => {
      const container = await lab.running();
      const wait = container.shim.task.wait({ id: container.id }).then(
        () => "an answer",
        (error: Error) => error.message,
      );
      signal(await lab.daemonOf(container));
      await within("the end of the connection", container.shim.client.closed, lab.limitMs);
      expectEqual("the open Wait", await wait, "ttrpc: closed");
      expectEqual("exit_status of delete", (await container.shim.close()).exitStatus, 137);
      await lab.gone("the container's process", container.pid);
    },
  },
];
