import { containerd } from "@trimaran/proto";
import { Code, encodeFrame, FrameType, HEADER_BYTES, StatusError } from "ttrpc-ts";
import { signal } from "../host/process-state.ts";
import type { Container } from "../lab/container.ts";
import { eventName } from "../lab/events.ts";
import { describeError, expectEqual, expectThat, Finding } from "../lab/finding.ts";
import type { Lab } from "../lab/lab.ts";
import { within } from "../lab/patience.ts";
import { requestBytes } from "../shim/raw-connection.ts";
import type { Check } from "./check.ts";
import { describeArrival, openWire } from "./wire.ts";

/** Another client must find the task running, and quickly. */
async function expectServing(lab: Lab, container: Container): Promise<void> {
  const task = await lab.reconnect(container).catch((error: unknown) => {
    throw new Finding("the shim to listen still", describeError(error), { cause: error });
  });
  const { status } = await within("an answer to State for another client", task.state({ id: container.id }), 2000);
  expectEqual("status", status, 2);
}

/** What a call may end with, when the thing it is about goes at the same time. */
async function answered(call: Promise<unknown>): Promise<"OK" | number> {
  return await call.then(
    () => "OK" as const,
    (error: unknown) => {
      if (error instanceof StatusError && error.message !== "ttrpc: closed") return error.code;
      throw new Finding("an answer", describeError(error), { cause: error });
    },
  );
}

/** The shim is killed while it works on a call; what is left must be a thing that delete can clear. */
async function killDuring(lab: Lab, container: Container, call: () => Promise<unknown>): Promise<void> {
  const pid = await lab.daemonOf(container);
  const outcome = call().catch((error: Error) => error);
  signal(pid);
  await within("the end of the connection", container.shim.client.closed, lab.limitMs);
  await outcome;
  const deleted = await container.shim.close();
  expectEqual("exit_status of delete", deleted.exitStatus, 137);
}

export const FAULTS: readonly Check[] = [
  {
    id: "faults.kill-during-create",
    title: "kill -9 of the shim during Create: delete clears what was begun",
    sections: "2.8",
    numbers: [16, 62],
    run: async (lab) => {
      const container = await lab.shim();
      await killDuring(lab, container, () => container.create());
    },
  },
  {
    id: "faults.kill-during-start",
    title: "kill -9 of the shim during Start: delete ends the container",
    sections: "2.8",
    numbers: [62],
    run: async (lab) => {
      const container = await lab.created();
      await killDuring(lab, container, () => container.start());
      await lab.gone("the container's process", container.pid);
    },
  },
  {
    id: "faults.kill-during-exec",
    title: "kill -9 of the shim during an exec's Start: delete ends container and exec",
    sections: "2.8",
    numbers: [62],
    run: async (lab) => {
      const container = await lab.running();
      await killDuring(lab, container, () => container.exec("one", "exec sleep 1000"));
      await lab.gone("the container's process", container.pid);
    },
  },
  {
    id: "faults.kill-during-delete",
    title: "kill -9 of the shim during Delete: the delete command clears the rest",
    sections: "2.8",
    numbers: [38, 62],
    run: async (lab) => {
      const container = await lab.exited("true");
      await killDuring(lab, container, () => container.task.delete({ id: container.id }));
    },
  },
  {
    id: "faults.stalled-reader",
    title: "a client that does not read a container's output blocks no other call",
    sections: "5.2",
    numbers: [48],
    run: async (lab) => {
      const stalled = await lab.stalledReader();
      const container = await lab.running("exec cat /dev/zero", {}, { stdout: stalled, stderr: stalled });
      await container.moment();
      await within("an answer to State", container.state(), 2000);
      const pid = await within("an answer to Exec and Start", container.exec("one", "exit 3"), 5000);
      expectThat("a pid", pid > 0, pid);
      expectEqual("exit_status of the exec", (await within("Wait", container.wait("one"), 5000)).exitStatus, 3);
      expectEqual("exit_status after Kill", await within("Kill and Wait", container.kill(), 5000), 137);
    },
  },
  {
    id: "faults.half-frame",
    title: "a client that writes half a frame and stops, or goes, harms no other",
    sections: "1.6",
    numbers: [23],
    run: async (lab) => {
      const wire = await openWire(lab);
      const bytes = wire.state(1);
      wire.raw.send(bytes.subarray(0, HEADER_BYTES + 5));
      await expectServing(lab, wire.container);
      wire.raw[Symbol.dispose]();
      await expectServing(lab, wire.container);
      await wire.container.end();
    },
  },
  {
    id: "faults.half-oversized",
    title: "a client that announces 4 GiB and stops takes neither memory nor service",
    sections: "1.1",
    numbers: [21],
    run: async (lab) => {
      const wire = await openWire(lab);
      const header = Buffer.alloc(HEADER_BYTES);
      header.writeUInt32BE(0xffffffff, 0);
      header.writeUInt32BE(1, 4);
      header[8] = FrameType.Request;
      const before = await lab.residentBytes(wire.container);
      wire.raw.send(header);
      wire.raw.send(Buffer.alloc(1024 * 1024));
      await expectServing(lab, wire.container);
      const grown = (await lab.residentBytes(wire.container)) - before;
      expectThat("less than 64 MiB more memory", grown < 64 * 1024 * 1024, `${Math.round(grown / 1024 / 1024)} MiB`);
      await wire.container.end();
    },
  },
  {
    id: "faults.garbage",
    title: "64 KiB of garbage on a connection harm no other",
    sections: "1.6",
    numbers: [22, 25],
    run: async (lab) => {
      const container = await lab.running();
      for (const seed of [1, 2, 3]) {
        const raw = await lab.raw(container);
        raw.send(Buffer.from(Array.from({ length: 65_536 }, (_, at) => (at * at * 31 + at * 7 * seed + seed) & 0xff)));
        await raw.next(50);
        raw[Symbol.dispose]();
      }
      await expectServing(lab, container);
      await container.end();
    },
  },
  {
    id: "faults.parallel-calls",
    title: "100 calls at once on one connection are all answered, each with its own answer",
    sections: "1.3",
    numbers: [26],
    run: async (lab) => {
      const wire = await openWire(lab);
      const { container, raw } = wire;
      const { name: service } = container.service;
      const ids = Array.from({ length: 100 }, (_, at) => 2 * at + 1);
      const { ConnectRequest, StateRequest } = containerd.task.v2;
      const frames = ids.map((streamId) => {
        const isState = streamId % 4 === 1;
        const payload = isState
          ? StateRequest.encode({ id: `none-${streamId}` })
          : ConnectRequest.encode({ id: container.id });
        return requestBytes(streamId, { service, method: isState ? "State" : "Connect", payload });
      });
      raw.send(Buffer.concat(frames));
      const left = new Set(ids);
      for (const _ of ids) {
        const arrival = await raw.next(lab.limitMs);
        if (typeof arrival === "string") throw new Finding("100 answers", `${100 - left.size}, then ${arrival}`);
        expectThat(`one answer for each stream`, left.delete(arrival.streamId), `a second one on ${arrival.streamId}`);
        const wanted = arrival.streamId % 4 === 1 ? /NotFound/ : /^OK$/;
        const came = describeArrival(arrival);
        expectThat(`on stream ${arrival.streamId} ${wanted}`, wanted.test(came), came);
      }
      await container.end();
    },
  },
  {
    id: "faults.exec-storm",
    title: "20 execs at once all run and end, each with its own status",
    sections: "3.3",
    numbers: [40],
    run: async (lab) => {
      const container = await lab.running();
      const names = Array.from({ length: 20 }, (_, at) => `storm-${at}`);
      const statuses = names.map(async (name, at) => {
        await container.exec(name, `exit ${at + 1}`);
        const { exitStatus } = await container.wait(name);
        await container.task.delete({ id: container.id, execId: name });
        return exitStatus;
      });
      expectEqual(
        "statuses",
        await Promise.all(statuses),
        names.map((_, at) => at + 1),
      );
      await container.end();
    },
  },
  {
    id: "faults.delete-during-exec",
    title: "Delete while an exec starts: both are answered, and the task is either whole or gone",
    sections: "3.3",
    numbers: [38, 40],
    run: async (lab) => {
      const container = await lab.running();
      const { id, task } = container;
      const [deleted, exec] = await Promise.all([
        answered(task.delete({ id })),
        answered(container.exec("one", "exec sleep 1000")),
      ]);
      expectThat(
        "Delete of a running task refused, not with NotFound",
        deleted !== "OK" && deleted !== Code.NotFound,
        deleted,
      );
      expectEqual("Exec and Start", exec, "OK");
      await container.kill();
      expectEqual("exit_status of the exec", (await container.wait("one")).exitStatus, 137);
      await container.remove();
    },
  },
  {
    id: "faults.exec-after-exit",
    title: "Exec right after init's exit is refused, and leaves no process",
    sections: "3.3",
    numbers: [40],
    run: async (lab) => {
      const container = await lab.running();
      await container.task.kill({ id: container.id, signal: 9 });
      await container.wait();
      const exec = await answered(container.exec("one", "exec sleep 1000"));
      expectThat("an error", exec !== "OK", exec);
      await container.remove();
    },
  },
  {
    id: "faults.kill-races-exit",
    title: "Kill that races with the exit is OK or NotFound, and the status is the exit's or the kill's",
    sections: "3.3",
    numbers: [36],
    run: async (lab) => {
      for (const pauseMs of [0, 2, 5, 10, 20]) {
        const container = await lab.running("exit 7");
        await container.moment(pauseMs);
        const kill = await answered(container.task.kill({ id: container.id, signal: 9 }));
        expectThat("OK or NotFound (5)", kill === "OK" || kill === Code.NotFound, kill);
        const { exitStatus } = await container.wait();
        expectThat("status 7 or 137", exitStatus === 7 || exitStatus === 137, exitStatus);
        await container.remove();
        await lab.event(container, "delete");
        expectEqual("exit events", lab.events(container).filter((event) => eventName(event) === "exit").length, 1);
      }
    },
  },
  {
    id: "faults.many-clients-wait",
    title: "20 clients that wait for one task all get its status; half of them went away before",
    sections: "3.3",
    numbers: [26, 33],
    run: async (lab) => {
      const container = await lab.running();
      const { id } = container;
      const clients = await Promise.all(Array.from({ length: 20 }, () => lab.raw(container)));
      const { name: service } = container.service;
      const payload = containerd.task.v2.WaitRequest.encode({ id });
      for (const client of clients) client.send(requestBytes(1, { service, method: "Wait", payload }));
      for (const client of clients.slice(10)) client[Symbol.dispose]();
      await container.task.kill({ id, signal: 9 });
      for (const client of clients.slice(0, 10)) {
        const arrival = await client.next(lab.limitMs);
        expectEqual("an answer to Wait", describeArrival(arrival), "OK");
      }
      await container.remove();
    },
  },
  {
    id: "faults.events-flap",
    title: "an events socket that goes and comes three times loses no exit, and tells none twice",
    sections: "2.10, 4",
    numbers: [50, 51],
    run: async (lab) => {
      const container = await lab.running();
      const names = ["one", "two", "three"];
      for (const name of names) {
        lab.lane.containerd.stop();
        await container.exec(name, "exit 0");
        await container.wait(name);
        await lab.lane.containerd.resume();
        await lab.event(container, `exit ${name}`);
      }
      const lives = names.flatMap((name) => [`exec-added ${name}`, `exec-started ${name}`, `exit ${name}`]);
      await lab.expectEvents(container, "create", "start", ...lives);
      await container.end();
    },
  },
  {
    id: "faults.data-flood",
    title: "1000 Data frames for streams that are none do not end the shim, nor stop it",
    sections: "1.6",
    numbers: [24],
    run: async (lab) => {
      const wire = await openWire(lab);
      const payload = Buffer.alloc(100);
      for (let streamId = 1; streamId < 2000; streamId += 2)
        wire.raw.send(encodeFrame({ streamId, type: FrameType.Data, flags: 0, payload }));
      await wire.raw.next(300);
      await expectServing(lab, wire.container);
      await wire.container.end();
    },
  },
];
