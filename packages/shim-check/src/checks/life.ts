import { join } from "node:path";
import type { Timestamp } from "@trimaran/proto";
import { Code, StatusError } from "ttrpc-ts";
import { Status } from "../lab/container.ts";
import { describeError, expectEqual, expectError, expectThat, Finding } from "../lab/finding.ts";
import { type Check, WRONG_STATE } from "./check.ts";

/** A time that has been: no zero, and not Go's zero time. */
function isTime(time: Timestamp | undefined): boolean {
  return time !== undefined && time.seconds > 1_500_000_000n;
}

/** Each way for a process to end, and the status that stands for it. */
const ENDS: readonly (readonly [script: string, status: number])[] = [
  ["exit 0", 0],
  ["exit 1", 1],
  ["exit 126", 126],
  ["exit 255", 255],
  ["kill -15 $$; sleep 5", 143],
];

/** From Create to Delete. */
export const LIFE: readonly Check[] = [
  {
    id: "task.create-again",
    title: "Create of an id that is there is an error, and the first lives on",
    sections: "3.3",
    numbers: [],
    run: async (lab) => {
      const container = await lab.running();
      const { id, bundle, task } = container;
      await expectError("Create", task.create({ id, bundle: bundle.path, rootfs: bundle.mounts }));
      expectEqual("status", (await container.state()).status, Status.Running);
      await container.end();
    },
  },
  {
    id: "task.create-fails",
    title:
      "a Create whose program or mount is not there fails with words, not with code 12, and Delete after it is OK or NotFound",
    sections: "2.5, 3.2, 3.3",
    numbers: [32, 67],
    run: async (lab) => {
      const container = await lab.shim();
      const { id, bundle, task } = container;
      const missing = { type: "bind", source: "/nowhere/at-all", options: ["rbind"] };
      const rootfs = [...bundle.mounts, { ...missing, target: "" }];
      const error = await expectError("Create", task.create({ id, bundle: bundle.path, rootfs }));
      expectThat("words", error.message.trim() !== "", "none");
      await task.delete({ id }).catch((reason: unknown) => {
        if (!(reason instanceof StatusError && reason.code === Code.NotFound))
          throw new Finding("Delete: OK or NotFound (5)", describeError(reason), { cause: reason });
      });
      await container.shutDown();
    },
  },
  {
    id: "task.create-restore",
    title: "Create with a checkpoint that is not there fails, and never with code 12",
    sections: "3.3",
    numbers: [32],
    run: async (lab) => {
      const container = await lab.shim();
      const { id, bundle, task } = container;
      const checkpoint = join(lab.folder, "no-checkpoint");
      const refused = await task.create({ id, bundle: bundle.path, rootfs: bundle.mounts, checkpoint }).then(
        () => false,
        (error: unknown) => {
          if (error instanceof StatusError) return true;
          throw error;
        },
      );
      if (!refused) await expectError("Start", task.start({ id })); // restoring may be left to Start
      await container.finish();
    },
  },
  {
    id: "task.create-missing-command",
    title: "a command that is not there is told by Create or Start, with its name",
    sections: "3.3, 8",
    numbers: [],
    run: async (lab) => {
      const container = await lab.shim("", { args: ["/nowhere/command"] });
      const { id, bundle, task } = container;
      const started = task.create({ id, bundle: bundle.path, rootfs: bundle.mounts }).then(() => task.start({ id }));
      const error = await expectError("Create, or Start", started);
      expectThat("the command's name in the words", error.message.includes("/nowhere/command"), error.message);
      await container.finish();
    },
  },
  {
    id: "task.start-twice",
    title: "Start of a running task is an error, and of a stopped one",
    sections: "3.3",
    numbers: [],
    run: async (lab) => {
      const container = await lab.running();
      const { id, task } = container;
      await expectError("Start of a running task", task.start({ id }), ...WRONG_STATE);
      await container.kill();
      await expectError("Start of a stopped task", task.start({ id }));
      await container.remove();
    },
  },
  {
    id: "task.wait-before-start",
    title: "Wait before Start blocks and returns the exit; after the exit it returns at once, the same again",
    sections: "3.2, 3.3",
    numbers: [33],
    run: async (lab) => {
      const container = await lab.created("exit 9");
      const early = container.wait();
      let hasAnswered = false;
      early.then(
        () => {
          hasAnswered = true;
        },
        () => undefined,
      );
      await container.moment(200);
      expectEqual("Wait has answered before Start", hasAnswered, false);
      await container.start();
      const first = await early;
      expectEqual("exit_status", first.exitStatus, 9);
      expectEqual("the second answer", await container.wait(), first);
      await container.remove();
    },
  },
  {
    id: "task.quick-exit",
    title: "of a command that is gone in 1 ms Start returns the pid of Create, and Wait the status",
    sections: "3.3",
    numbers: [34],
    run: async (lab) => {
      const container = await lab.created("exit 3");
      const { pid } = await container.task.start({ id: container.id });
      expectEqual("pid", pid, container.pid);
      expectEqual("exit_status", (await container.wait()).exitStatus, 3);
      await container.remove();
    },
  },
  {
    id: "task.exit-status",
    title: "exit statuses and 128 plus a signal are exact in Wait, State, Delete and TaskExit, with one exited_at",
    sections: "3.3, 4",
    numbers: [35],
    run: async (lab) => {
      for (const [script, status] of ENDS) {
        const container = await lab.exited(`sh -c '${script}'; exit $?`);
        const [wait, state] = [await container.wait(), await container.state()];
        expectThat("an exited_at", isTime(wait.exitedAt), wait.exitedAt);
        const event = await lab.event(container, "exit");
        const deleted = await container.remove();
        const told = { wait, state, event, deleted };
        for (const [place, { exitStatus, exitedAt }] of Object.entries(told))
          expectEqual(`of "${script}", in ${place}:`, [exitStatus, exitedAt], [status, wait.exitedAt]);
      }
    },
  },
  {
    id: "task.kill",
    title: "Kill with 9 ends a task with status 137; a signal that is handled arrives as it is",
    sections: "3.3",
    numbers: [35],
    run: async (lab) => {
      const { stdout, paths } = await lab.output();
      const script = "trap 'exit 42' USR1; echo ready; while :; do sleep 0.05; done";
      const container = await lab.running(script, {}, paths);
      await lab.until("the line ready", () => stdout.text.includes("ready"));
      await container.task.kill({ id: container.id, signal: 10 });
      expectEqual("exit_status", (await container.wait()).exitStatus, 42);
      await container.remove();
      const other = await lab.running();
      expectEqual("exit_status", await other.kill(), 137);
      await other.remove();
    },
  },
  {
    id: "task.kill-created",
    title: "Kill with 9 of a task that is only created ends it: Wait answers",
    sections: "3.3",
    numbers: [],
    run: async (lab) => {
      const container = await lab.created();
      expectEqual("exit_status", await container.kill(), 137);
      await container.reaches(Status.Stopped);
      await container.remove();
    },
  },
  {
    id: "task.kill-exited",
    title: "Kill of an exited task is NotFound; with all it is OK",
    sections: "3.3",
    numbers: [36],
    run: async (lab) => {
      const container = await lab.exited("true");
      const { id, task } = container;
      await expectError("Kill", task.kill({ id, signal: 15 }), Code.NotFound);
      await task.kill({ id, signal: 9, all: true });
      await container.remove();
    },
  },
  {
    id: "task.kill-all",
    title: "Kill with all reaches every process of the container, execs too",
    sections: "3.3",
    numbers: [36],
    run: async (lab) => {
      const container = await lab.running();
      await container.exec("one", "exec sleep 1000");
      await container.task.kill({ id: container.id, signal: 9, all: true });
      expectEqual("exit_status of init", (await container.wait()).exitStatus, 137);
      expectEqual("exit_status of the exec", (await container.wait("one")).exitStatus, 137);
      await container.remove();
    },
  },
  {
    id: "task.delete-running",
    title: "Delete of a running task is refused, but not with NotFound, and changes nothing",
    sections: "3.3",
    numbers: [37],
    run: async (lab) => {
      const container = await lab.running();
      await expectError("Delete", container.task.delete({ id: container.id }), ...WRONG_STATE);
      expectEqual("status", (await container.state()).status, Status.Running);
      await container.end();
    },
  },
  {
    id: "task.delete-twice",
    title: "Delete of an exited task tells pid and status; the second Delete is NotFound",
    sections: "3.3",
    numbers: [37],
    run: async (lab) => {
      const container = await lab.exited("exit 4");
      const { id, pid, task } = container;
      const deleted = await task.delete({ id });
      expectEqual("pid, exit_status", [deleted.pid, deleted.exitStatus], [pid, 4]);
      await expectError("the second Delete", task.delete({ id }), Code.NotFound);
      await container.shutDown();
    },
  },
  {
    id: "task.delete-created",
    title: "Delete of a task that is only created is allowed, or refused and then Kill and Delete are right",
    sections: "3.3",
    numbers: [],
    run: async (lab) => {
      const container = await lab.created();
      const { id, task, pid } = container;
      const isDeleted = await task.delete({ id }).then(
        () => true,
        (error: unknown) => {
          if (error instanceof StatusError && error.code !== Code.NotFound) return false;
          throw new Finding("Delete: OK, or an error other than NotFound (5)", describeError(error), { cause: error });
        },
      );
      if (!isDeleted) await container.kill().then(() => task.delete({ id }));
      await lab.gone("the container's process", pid);
      await container.shutDown();
    },
  },
  {
    id: "task.delete-deadline",
    title: "a Delete that its client gave up, asked again, ends OK or NotFound with everything gone",
    sections: "3.3",
    numbers: [38],
    run: async (lab) => {
      const container = await lab.exited("true");
      const { id, task } = container;
      await task.delete({ id }, { timeoutMs: 1 }).catch(() => undefined);
      await task.delete({ id }).catch((error: unknown) => {
        if (!(error instanceof StatusError && error.code === Code.NotFound)) throw error;
      });
      await expectError("State", task.state({ id }), Code.NotFound);
      await container.shutDown();
    },
  },
];
