import { readFile, readlink } from "node:fs/promises";
import { processAt, signal } from "../host/process-state.ts";
import { expectEqual, expectThat } from "../lab/finding.ts";
import { until } from "../lab/patience.ts";
import type { Check } from "./check.ts";

const MOST_OOM_SCORE = 1000;

/** Fields of /proc/PID/stat behind the name. */
async function familyOf(pid: number): Promise<{ readonly parent: number; readonly group: number }> {
  const stat = await readFile(`/proc/${pid}/stat`, "latin1");
  const [, parent, group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { parent: Number(parent), group: Number(group) };
}

export const DAEMON: readonly Check[] = [
  {
    id: "daemon.process",
    title:
      "stdin and stdout are /dev/null, the process group is its own, the parent is not containerd, and it runs in the bundle",
    sections: "2.7",
    numbers: [14],
    run: async (lab) => {
      const container = await lab.shim("true");
      const pid = await lab.daemonOf(container);
      for (const fd of [0, 1]) expectEqual(`fd ${fd}`, await readlink(`/proc/${pid}/fd/${fd}`), "/dev/null");
      const { parent, group } = await familyOf(pid);
      expectEqual("process group", group, pid);
      expectThat("a parent that is not containerd", parent !== process.pid, "containerd");
      expectEqual("cwd", await readlink(`/proc/${pid}/cwd`), container.bundle.path);
      await container.finish();
    },
  },
  {
    id: "daemon.oom-score",
    title: "oom_score_adj is containerd's, plus 1",
    sections: "2.7",
    numbers: [14],
    run: async (lab) => {
      const container = await lab.shim("true");
      const scoreOf = async (pid: number) => Number(await readFile(`/proc/${pid}/oom_score_adj`, "utf8"));
      const own = await scoreOf(process.pid);
      const came = await scoreOf(await lab.daemonOf(container));
      expectEqual("oom_score_adj", came, Math.min(own + 1, MOST_OOM_SCORE));
      await container.finish();
    },
  },
  {
    id: "daemon.environment",
    title: "LD_LIBRARY_PATH and NOTIFY_SOCKET of containerd reach no container",
    sections: "2.1, 2.3",
    numbers: [15],
    run: async (lab) => {
      const env = { NOTIFY_SOCKET: "/run/shim-check", LD_LIBRARY_PATH: "/opt/containerd/lib" };
      const { stdout, paths } = await lab.output();
      const container = await lab.exited("env", { shim: { env: { ...lab.target.env, ...env } } }, paths);
      await container.remove();
      const lines = (await stdout.end(lab.limitMs)).split("\n");
      expectEqual(
        "in the container's environment",
        lines.filter((line) => /^(NOTIFY_SOCKET|LD_LIBRARY_PATH)=/.test(line)),
        [],
      );
    },
  },
  {
    id: "daemon.log-unread",
    title: "a log FIFO without a reader ends nothing and blocks nothing",
    sections: "2.7",
    numbers: [63],
    run: async (lab) => {
      const container = await lab.running("exec sleep 1000", { shim: { debug: true } });
      const task = await lab.reconnect(container);
      container.shim.abandon(); // the log's only reader
      for (let turn = 0; turn < 50; turn++) await task.state({ id: container.id });
      await task.kill({ id: container.id, signal: 9 });
      expectEqual("exit_status", (await task.wait({ id: container.id })).exitStatus, 137);
      await task.delete({ id: container.id });
      await task.shutdown({ id: container.id }).catch(() => undefined);
      await lab.delete(container.shim.options);
    },
  },
  {
    id: "daemon.sigterm",
    title:
      "SIGTERM: the shim lives on with its container, or it ends and delete clears the rest; there is no half state",
    sections: "2.7",
    numbers: [64],
    run: async (lab) => {
      const container = await lab.running();
      const daemon = await lab.daemonOf(container);
      signal(daemon, "SIGTERM");
      const task = await lab.reconnect(container).catch(() => undefined);
      await container.moment();
      const hasEnded = (await processAt(daemon)) === undefined;
      if (!hasEnded) {
        expectEqual(
          "a shim that lives on answers State with status",
          (await task?.state({ id: container.id }))?.status,
          2,
        );
        await container.end();
        return;
      }
      const closed = container.shim.client.closed.then(() => true);
      await until("the end of the connection", () => Promise.race([closed, undefined]), lab.limitMs);
      await container.shim.close();
      await lab.gone("the container's process", container.pid);
    },
  },
];
