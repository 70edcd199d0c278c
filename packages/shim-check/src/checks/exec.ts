import { ANY, packAny } from "@trimaran/proto";
import { Code, StatusError } from "ttrpc-ts";
import { ociProcess } from "../bundle/oci-spec.ts";
import { Status } from "../lab/container.ts";
import { eventName } from "../lab/events.ts";
import { describeError, expectEqual, expectError, expectThat, Finding } from "../lab/finding.ts";
import type { Check } from "./check.ts";

export const EXEC: readonly Check[] = [
  {
    id: "exec.life",
    title: "an exec is CREATED with pid 0, then RUNNING with its pid, then STOPPED with its status",
    sections: "3.3",
    numbers: [],
    run: async (lab) => {
      const container = await lab.running();
      const { id, task } = container;
      await container.addExec("one", "sleep 0.3; exit 7");
      const added = await container.state("one");
      expectEqual("status, pid", [added.status, added.pid], [Status.Created, 0]);
      const { pid } = await task.start({ id, execId: "one" });
      expectThat("a pid", pid > 0, pid);
      const running = await container.state("one");
      expectEqual("status, pid", [running.status, running.pid], [Status.Running, pid]);
      expectEqual("exit_status", (await container.wait("one")).exitStatus, 7);
      const stopped = await container.state("one");
      expectEqual("status, exit_status", [stopped.status, stopped.exitStatus], [Status.Stopped, 7]);
      const deleted = await task.delete({ id, execId: "one" });
      expectEqual("pid, exit_status of Delete", [deleted.pid, deleted.exitStatus], [pid, 7]);
      await container.end();
    },
  },
  {
    id: "exec.unknown",
    title: "calls for an exec that is not there get NotFound, also after its Delete",
    sections: "3.3",
    numbers: [37],
    run: async (lab) => {
      const container = await lab.running();
      const { id, task } = container;
      const ask = { id, execId: "unknown" };
      await expectError("State", task.state(ask), Code.NotFound);
      await expectError("Start", task.start(ask), Code.NotFound);
      await expectError("Kill", task.kill({ ...ask, signal: 9 }), Code.NotFound);
      await expectError("Wait", task.wait(ask), Code.NotFound);
      await expectError("Delete", task.delete(ask), Code.NotFound);
      await container.exec("one", "true");
      await container.wait("one");
      await task.delete({ id, execId: "one" });
      await expectError("the second Delete", task.delete({ id, execId: "one" }), Code.NotFound);
      await container.end();
    },
  },
  {
    id: "exec.id-taken",
    title: "Exec with an id that is in use gets AlreadyExists",
    sections: "3.3",
    numbers: [39],
    run: async (lab) => {
      const container = await lab.running();
      await container.addExec("one", "true");
      await expectError("Exec", container.addExec("one", "true"), Code.AlreadyExists);
      await container.end();
    },
  },
  {
    id: "exec.fails",
    title:
      "an exec whose command is not there: Start fails and names it, State stays CREATED, Delete is OK, the id is free",
    sections: "3.3",
    numbers: [39],
    run: async (lab) => {
      const container = await lab.running();
      const { id, task } = container;
      const spec = packAny(ANY.ociProcess, Buffer.from(JSON.stringify(ociProcess(["/nowhere/command"]))));
      await task.exec({ id, execId: "one", spec });
      const error = await expectError("Start", task.start({ id, execId: "one" }));
      expectThat("the command's name in the words", error.message.includes("/nowhere/command"), error.message);
      expectEqual("status", (await container.state("one")).status, Status.Created);
      await task.delete({ id, execId: "one" });
      await container.exec("one", "exit 3");
      expectEqual("exit_status", (await container.wait("one")).exitStatus, 3);
      await container.end();
    },
  },
  {
    id: "exec.bad-spec",
    title: "Exec whose spec is no JSON is an error",
    sections: "3.3",
    numbers: [],
    run: async (lab) => {
      const container = await lab.running();
      const spec = packAny(ANY.ociProcess, Buffer.from("{"));
      await expectError("Exec", container.task.exec({ id: container.id, execId: "one", spec }));
      expectEqual("status of init", (await container.state()).status, Status.Running);
      await container.end();
    },
  },
  {
    id: "exec.kill-created",
    title: "Kill of an exec that was not started is FailedPrecondition",
    sections: "3.3",
    numbers: [36],
    run: async (lab) => {
      const container = await lab.running();
      await container.addExec("one", "true");
      const kill = container.task.kill({ id: container.id, execId: "one", signal: 9 });
      await expectError("Kill", kill, Code.FailedPrecondition);
      await container.end();
    },
  },
  {
    id: "exec.kill",
    title: "Kill of an exec ends it and nothing else; of an exited one it is NotFound",
    sections: "3.3",
    numbers: [35, 36],
    run: async (lab) => {
      const container = await lab.running();
      await container.exec("one", "exec sleep 1000");
      expectEqual("exit_status", await container.kill("one"), 137);
      expectEqual("status of init", (await container.state()).status, Status.Running);
      const again = container.task.kill({ id: container.id, execId: "one", signal: 9 });
      await expectError("Kill of an exited exec", again, Code.NotFound);
      await container.end();
    },
  },
  {
    id: "exec.delete-running",
    title: "Delete of a running exec is refused, but not with NotFound",
    sections: "3.3",
    numbers: [37],
    run: async (lab) => {
      const container = await lab.running();
      await container.exec("one", "exec sleep 1000");
      const refused = container.task.delete({ id: container.id, execId: "one" });
      await expectError("Delete", refused, Code.FailedPrecondition, Code.Unknown);
      await container.end();
    },
  },
  {
    id: "exec.wrong-state",
    title: "Exec in a paused task is an error, and in a stopped one",
    sections: "3.3",
    numbers: [],
    run: async (lab) => {
      const container = await lab.running();
      const { id, task } = container;
      await task.pause({ id });
      await expectError("in a paused task, Exec or Start", container.exec("one", "true"));
      await task.resume({ id });
      await container.kill();
      await expectError("in a stopped task, Exec or Start", container.exec("two", "true"));
      await container.remove();
    },
  },
  {
    id: "exec.races-exit",
    title:
      "execs that race with the exit of init: each Start is answered, and each that began has one exit, before init's",
    sections: "3.3, 4",
    numbers: [40],
    run: async (lab) => {
      const container = await lab.running();
      await container.exec("first", "exec sleep 1000");
      const names = Array.from({ length: 8 }, (_, at) => `race-${at}`);
      const attempts = names.map(async (name) => {
        try {
          await container.exec(name, "exec sleep 1000");
          return [name];
        } catch (error) {
          if (error instanceof StatusError && error.code !== Code.DeadlineExceeded) return [];
          throw new Finding("an answer to Start", describeError(error), { cause: error });
        }
      });
      await container.task.kill({ id: container.id, signal: 9 });
      const begun = ["first", ...(await Promise.all(attempts)).flat()];
      await container.wait();
      await lab.event(container, "exit");
      const told = lab.events(container).map(eventName);
      for (const name of begun) {
        const exits = told.filter((event) => event === `exit ${name}`).length;
        expectEqual(`exits of ${name}`, exits, 1);
        const isBefore = told.indexOf(`exit ${name}`) < told.indexOf("exit");
        expectThat(`the exit of ${name} before init's`, isBefore, told.join(", "));
      }
      await container.remove();
    },
  },
];
