import { eventName } from "../lab/events.ts";
import { expectEqual, expectThat, NotOffered } from "../lab/finding.ts";
import type { Check } from "./check.ts";

/** A program that takes more memory than there is; without swap, if the kernel counts that. */
const EATER = "x=a; while :; do x=$x$x; done";
const MEMORY_BYTES = 48 * 1024 * 1024;

export const EVENTS: readonly Check[] = [
  {
    id: "events.order",
    title: "a life is create, start, exit, delete, in this order, with the pid of Create and the topics of containerd",
    sections: "4",
    numbers: [34, 50],
    run: async (lab) => {
      const container = await lab.exited("true");
      await lab.event(container, "exit");
      await container.task.delete({ id: container.id });
      await lab.expectEvents(container, "create", "start", "exit", "delete");
      const pids = lab.events(container).map(({ pid }) => pid);
      expectEqual(
        "their pids",
        pids,
        pids.map(() => container.pid),
      );
      await container.shutDown();
    },
  },
  {
    id: "events.drained",
    title: "what happened before Shutdown is told before the shim has ended",
    sections: "4",
    numbers: [50],
    run: async (lab) => {
      const container = await lab.exited("true");
      await container.remove();
      await lab.expectEvents(container, "create", "start", "exit", "delete");
    },
  },
  {
    id: "events.create",
    title: "TaskCreate has bundle, rootfs and io as Create had them",
    sections: "4",
    numbers: [49],
    run: async (lab) => {
      const { paths } = await lab.output();
      const container = await lab.created("exec sleep 1000", {}, paths);
      const { io, rootfs } = await lab.event(container, "create");
      expectEqual("io", io, { stdin: "", ...paths, terminal: false });
      expectEqual(
        "rootfs",
        rootfs?.map(({ type, source }) => [type, source]),
        container.bundle.mounts.map(({ type, source }) => [type, source]),
      );
      await container.finish();
    },
  },
  {
    id: "events.exit",
    title: "TaskExit of init has the container's id as id, the pid of Start, status and time as in Wait",
    sections: "4",
    numbers: [35, 49],
    run: async (lab) => {
      const container = await lab.running("exit 5");
      const { exitStatus, exitedAt } = await container.wait();
      const event = await lab.event(container, "exit");
      expectEqual("id, pid", [event.id, event.pid], [container.id, container.pid]);
      expectEqual("exit_status, exited_at", [event.exitStatus, event.exitedAt], [exitStatus, exitedAt]);
      await container.remove();
    },
  },
  {
    id: "events.exec",
    title: "an exec is exec-added, exec-started, exit with its id and pid; its exit comes before init's",
    sections: "4",
    numbers: [50],
    run: async (lab) => {
      const container = await lab.running();
      const pid = await container.exec("one", "exit 6");
      await container.wait("one");
      const event = await lab.event(container, "exit one");
      expectEqual("pid, exit_status", [event.pid, event.exitStatus], [pid, 6]);
      const second = await container.exec("two", "exec sleep 1000");
      await container.kill();
      await lab.event(container, "exit");
      const names = [
        "exec-added one",
        "exec-started one",
        "exit one",
        "exec-added two",
        "exec-started two",
        "exit two",
        "exit",
      ];
      await lab.expectEvents(container, "create", "start", ...names);
      expectEqual("pid of two", (await lab.event(container, "exec-started two")).pid, second);
      await container.remove();
    },
  },
  {
    id: "events.paused",
    title: "Pause and Resume are told",
    sections: "4",
    numbers: [43],
    run: async (lab) => {
      const container = await lab.running();
      await container.task.pause({ id: container.id });
      await container.task.resume({ id: container.id });
      await lab.expectEvents(container, "create", "start", "paused", "resumed");
      await container.end();
    },
  },
  {
    id: "events.oom",
    title: "an out-of-memory kill is told before the exit that it causes, with the container's id; the status is 137",
    sections: "4",
    numbers: [50],
    run: async (lab) => {
      const resources = { memory: { limit: MEMORY_BYTES, swap: MEMORY_BYTES } };
      const container = await lab.running(EATER, { resources });
      const { exitStatus } = await container.wait();
      await lab.event(container, "exit");
      await container.moment(200);
      const names = lab.events(container).map(eventName);
      if (exitStatus !== 137)
        throw new NotOffered(`the program ended with ${exitStatus}: no limit, or none that kills`);
      expectThat("create, start, oom, exit", names.join(", ") === "create, start, oom, exit", names.join(", "));
      await container.remove();
    },
  },
  {
    id: "events.envelope",
    title: "each envelope has a time and the namespace, and the call's metadata has the namespace; type names are bare",
    sections: "3.1, 4",
    numbers: [52],
    run: async (lab) => {
      const container = await lab.exited("true");
      await lab.event(container, "exit");
      for (const { raw, topic } of lab.events(container)) {
        expectThat(`a time in ${topic}`, raw.timestampNs > 1_500_000_000_000_000_000n, raw.timestampNs);
        expectEqual(`namespace of ${topic}`, raw.namespace, lab.namespace);
        expectEqual(`metadata containerd-namespace-ttrpc of ${topic}`, raw.metadataNamespace, lab.namespace);
        expectThat(`a bare type name in ${topic}`, !raw.typeUrl.includes("/"), raw.typeUrl);
      }
      await container.remove();
    },
  },
  {
    id: "events.outage",
    title: "events of a time when containerd is away arrive when it is back, each once, in their order",
    sections: "2.10, 4",
    numbers: [50, 51],
    run: async (lab) => {
      const container = await lab.created("sleep 0.2; exit 8");
      await lab.event(container, "create");
      lab.lane.containerd.stop();
      await container.start();
      await container.wait();
      await container.moment(500);
      await lab.lane.containerd.resume();
      await lab.expectEvents(container, "create", "start", "exit");
      await container.moment(500);
      expectEqual("afterwards", lab.events(container).map(eventName), ["create", "start", "exit"]);
      await container.remove();
    },
  },
];
