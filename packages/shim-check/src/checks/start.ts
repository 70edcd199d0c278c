import { readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { ANY, packAny } from "@trimaran/proto";
import { socketPath } from "../host/belongings.ts";
import { listenerOf } from "../host/listener.ts";
import { signal } from "../host/process-state.ts";
import { expectEqual, expectThat, Finding, NotOffered } from "../lab/finding.ts";
import type { Lab } from "../lab/lab.ts";
import { until } from "../lab/patience.ts";
import { parseReply, type StartStyle } from "../shim/start.ts";
import type { Check } from "./check.ts";

/** `start` as one containerd release runs it; the reply must be one that this release can read. */
async function replyTo(lab: Lab, style: StartStyle, readable: readonly string[]): Promise<void> {
  const container = await lab.created("exec sleep 1000", { style });
  const { shim, bundle } = container;
  const { form, version } = shim.reply;
  expectThat(`a reply as ${readable.join(" or ")}`, readable.includes(form), form);
  if (form === "text") {
    const written = await readFile(join(bundle.path, "address"), "utf8").catch(() => "no file");
    expectEqual("BUNDLE/address with", written.trim(), shim.reply.address);
  } else expectThat("version 2 or 3", version === 2 || version === 3, version);
  await container.finish();
}

export const START: readonly Check[] = [
  {
    id: "start.text",
    title: "as containerd 1.6: the output is one line with the address, which is in BUNDLE/address too",
    sections: "2.5",
    numbers: [3],
    run: async (lab) => {
      const prepared = await lab.prepare("true", { style: "1.6" });
      const probe = await lab.invoke(prepared.options, "start");
      if (probe.code === 0) await lab.dismiss(prepared, probe);
      const isForOthers = probe.code === 0 && parseReply(probe.stdout).form === "json";
      if (isForOthers)
        throw new NotOffered("it answers in JSON, whatever the environment says: not for containerd 1.6");
      await replyTo(lab, "1.6", ["text"]);
    },
  },
  {
    id: "start.json",
    title: "as containerd 2.0 to 2.2: the output is JSON with version 2 or 3, or an address",
    sections: "2.5",
    numbers: [4],
    run: (lab) => replyTo(lab, "2.1", ["json", "text"]),
  },
  {
    id: "start.protobuf",
    title:
      "as containerd 2.3: BootstrapParams on stdin are understood; the output is BootstrapResult, JSON or an address",
    sections: "2.4, 2.5",
    numbers: [4, 5],
    run: async (lab) => {
      const prepared = await lab.prepare("true", { style: "2.3" });
      const probe = await lab.invoke(prepared.options, "start");
      if (probe.code !== 0) throw new NotOffered(`start answers ${`${probe.stdout}${probe.stderr}`.trim()}`);
      await lab.dismiss(prepared, probe);
      await replyTo(lab, "2.3", ["protobuf", "json", "text"]);
    },
  },
  {
    id: "start.empty-options",
    title: "an Any without a value on stdin, as containerd 1.6 sends it, is no options and no BootstrapParams",
    sections: "2.4, 6",
    numbers: [5, 65],
    run: async (lab) => {
      const options = packAny(ANY.runcOptions, new Uint8Array());
      const container = await lab.created("exec sleep 1000", { shim: { options } });
      await container.finish();
    },
  },
  {
    id: "start.flag-forms",
    title: "flags as -x v, --x v and -x=v mean the same",
    sections: "2.2",
    numbers: [2],
    run: async (lab) => {
      for (const flag of [
        (name: string, value: string) => [`--${name}`, value],
        (name: string, value: string) => [`-${name}=${value}`],
      ]) {
        const container = await lab.shim("true", { shim: { flag } });
        await container.finish();
      }
    },
  },
  {
    id: "start.quiet",
    title:
      "a start that succeeds writes nothing but its reply, with -debug too: both streams are one pipe for containerd",
    sections: "2.5",
    numbers: [6],
    run: async (lab) => {
      const prepared = await lab.prepare("true", { shim: { debug: true } });
      const done = await lab.invoke(prepared.options, "start");
      expectEqual("exit status", done.code, 0);
      await lab.dismiss(prepared, done);
      expectEqual("on stderr", done.stderr.toString(), "");
    },
  },
  {
    id: "start.lets-go",
    title: "when start has ended, no process holds its output: containerd waits for the end of file",
    sections: "2.5",
    numbers: [7],
    run: async (lab) => {
      const prepared = await lab.prepare("true");
      const done = await lab.invoke(prepared.options, "start");
      await lab.dismiss(prepared, done);
      expectThat("end of file with the exit", done.pipesHeldMs < 1000, `${Math.round(done.pipesHeldMs)} ms later`);
    },
  },
  {
    id: "start.fails-readably",
    title: "a start without a namespace fails with a line that says why, and leaves no process and no socket",
    sections: "2.5",
    numbers: [8],
    run: async (lab) => {
      const { options } = await lab.prepare("true");
      const flag = (name: string, value: string) => [`-${name}`, name === "namespace" ? "" : value];
      const done = await lab.invoke({ ...options, flag, env: { ...options.env, NAMESPACE: "" } }, "start");
      const words = `${done.stdout}${done.stderr}`.trim();
      expectThat("an exit status that is not 0", done.code !== 0, `0: ${words}`);
      expectThat("a line that names the namespace", /namespace/i.test(words), words || "nothing");
    },
  },
  {
    id: "start.twice",
    title: "two start of one pod at once end with one process and the same address",
    sections: "2.6",
    numbers: [10],
    run: async (lab) => {
      const sandbox = await lab.prepare("exec sleep 1000", { pod: "own" });
      const second = await lab.prepare("exec sleep 1000", { pod: sandbox.bundle.id });
      const done = await Promise.all([lab.invoke(sandbox.options, "start"), lab.invoke(second.options, "start")]);
      for (const { code, stdout, stderr } of done)
        if (code !== 0) throw new Finding("both start with exit status 0", `${code}: ${stdout}${stderr}`);
      const addresses = done.map(({ stdout }) => parseReply(stdout).address);
      await lab.dismiss(sandbox, done[0]);
      await lab.delete(second.options).catch(() => undefined); // the shim has ended with its pod
      expectEqual("the second address", addresses[1], addresses[0]);
    },
  },
  {
    id: "start.pod",
    title: "start of another container of a pod gives the pod's address; one shim serves both",
    sections: "2.6, 2.7, 2.12",
    numbers: [10, 47],
    run: async (lab) => {
      const sandbox = await lab.running("exec sleep 1000", { pod: "own" });
      const second = await lab.shim("exec sleep 1000", { pod: sandbox.id });
      expectEqual("the address", second.shim.reply.address, sandbox.shim.reply.address);
      await (await second.create()).start();
      await second.kill();
      await second.task.delete({ id: second.id });
      await second.task.shutdown({ id: second.id });
      expectEqual("after Shutdown for the second, State of the first:", (await sandbox.state()).status, 2);
      second.shim.abandon();
      await sandbox.end();
    },
  },
  {
    id: "start.stale-socket",
    title: "the socket of a shim that was killed does not stop a start",
    sections: "2.6",
    numbers: [11],
    run: async (lab) => {
      const prepared = await lab.prepare("exec sleep 1000");
      const first = await lab.started(prepared);
      const pid = await lab.daemonOf(first);
      signal(pid);
      await lab.gone("the killed shim", pid);
      first.shim.abandon();
      const second = await lab.started(prepared);
      await second.create();
      await second.finish();
    },
  },
  {
    id: "start.socket",
    title: "the socket has mode 0600, and the name that the hash rule gives it",
    sections: "2.6",
    numbers: [12],
    run: async (lab) => {
      const container = await lab.shim("true");
      const { shim, id } = container;
      const path = shim.reply.address.replace(/^unix:\/\//, "");
      const mode = (await stat(path)).mode & 0o777;
      expectEqual("mode", mode.toString(8), "600");
      expectEqual("socket", path, socketPath(lab.lane.containerd.address, lab.namespace, id));
      await container.finish();
    },
  },
  {
    id: "start.socket-dir",
    title: "as containerd 2.3: the socket is in the folder that BootstrapParams names",
    sections: "2.4, 2.6",
    numbers: [12],
    run: async (lab) => {
      const socketDir = join(lab.folder, "s");
      const prepared = await lab.prepare("true", { style: "2.3", shim: { socketDir } });
      const done = await lab.invoke(prepared.options, "start");
      if (done.code !== 0) throw new NotOffered(`start answers ${`${done.stdout}${done.stderr}`.trim()}`);
      const { address, form } = parseReply(done.stdout);
      await lab.dismiss(prepared, done);
      if (form !== "protobuf") throw new NotOffered(`it answers in ${form}: it knows no BootstrapParams`);
      await rm(socketDir, { recursive: true, force: true });
      const places = [socketDir, join(prepared.bundle.path, "s")]; // upstream leads to it by a link
      const isThere = places.some((place) => address.startsWith(`unix://${place}/`));
      expectThat(`a socket in ${socketDir}`, isThere, address);
    },
  },
  {
    id: "start.unconnected",
    title: "a shim that nobody connects to goes away by itself, within 40 s",
    sections: "2.5",
    numbers: [9],
    isSlow: true,
    run: async (lab) => {
      const prepared = await lab.prepare("true");
      const done = await lab.invoke(prepared.options, "start");
      const { address } = parseReply(done.stdout);
      const ask = async () => ((await listenerOf(address)) === undefined ? true : undefined);
      try {
        await until("no process that listens", ask, 40_000, () => "it listens still");
      } finally {
        await lab.dismiss(prepared, done).catch(() => undefined);
      }
    },
  },
];
