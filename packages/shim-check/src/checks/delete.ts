import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { cgroupsOf, mountsOf } from "../host/belongings.ts";
import { signal } from "../host/process-state.ts";
import { expectEqual, expectThat } from "../lab/finding.ts";
import type { Check } from "./check.ts";

const LIMIT_MS = 5_000;

export const DELETE: readonly Check[] = [
  {
    id: "delete.never-started",
    title: "delete without any daemon succeeds, twice, in less than 5 s",
    sections: "2.8",
    numbers: [16],
    run: async (lab) => {
      const { options } = await lab.prepare("true");
      const began = performance.now();
      await lab.delete(options);
      await lab.delete(options);
      const tookMs = Math.round(performance.now() - began);
      expectThat("less than 5000 ms", tookMs < LIMIT_MS, `${tookMs} ms`);
    },
  },
  {
    id: "delete.daemon-dead",
    title: "delete after the daemon was killed succeeds, and again",
    sections: "2.8",
    numbers: [16],
    run: async (lab) => {
      const container = await lab.created();
      const { shim } = container;
      const pid = await lab.daemonOf(container);
      signal(pid);
      await lab.gone("the killed shim", pid);
      shim.abandon();
      await lab.delete(shim.options);
      await lab.delete(shim.options);
    },
  },
  {
    id: "delete.before-create",
    title: "delete of a shim that was killed before Create succeeds and takes its socket away",
    sections: "2.6, 2.8",
    numbers: [16, 17],
    run: async (lab) => {
      const container = await lab.shim();
      const pid = await lab.daemonOf(container);
      signal(pid);
      await lab.gone("the killed shim", pid);
      container.shim.abandon();
      await lab.delete(container.shim.options);
    },
  },
  {
    id: "delete.running",
    title: "delete ends a running container, and tells status 137 and its pid",
    sections: "2.8",
    numbers: [16, 17],
    run: async (lab) => {
      const container = await lab.running();
      const { shim, pid } = container;
      const deleted = await lab.delete(shim.options);
      expectEqual("exit_status", deleted.exitStatus, 137);
      expectThat("an exited_at", (deleted.exitedAt?.seconds ?? 0n) > 0n, deleted.exitedAt);
      await lab.gone("the container's process", pid);
      await container.finish();
    },
  },
  {
    id: "delete.cleans",
    title: "delete takes away mounts, cgroup and socket; nothing is left in BUNDLE/rootfs",
    sections: "2.8, 2.11",
    numbers: [17],
    run: async (lab) => {
      const container = await lab.running("touch /file; exec sleep 1000");
      const { shim, bundle, id } = container;
      await lab.delete(shim.options);
      expectEqual("mounts", await mountsOf({ dir: bundle.path }), []);
      expectEqual("cgroups", await cgroupsOf({ tag: id, namespace: lab.namespace }), []);
      expectEqual("in BUNDLE/rootfs", await readdir(join(bundle.path, "rootfs")), []);
      await container.finish();
      const socket = shim.reply.address.replace(/^unix:\/\//, "");
      expectEqual("a socket file, in the end,", existsSync(socket), false);
    },
  },
  {
    id: "delete.lets-go",
    title: "delete of a running container leaves nobody who holds its output, and writes nothing else to stdout",
    sections: "2.8",
    numbers: [18],
    run: async (lab) => {
      const container = await lab.running();
      const { shim } = container;
      const done = await lab.invoke(shim.options, "delete", ["-bundle", shim.options.bundle]);
      expectEqual("exit status", done.code, 0);
      await container.finish();
      expectThat("end of file with the exit", done.pipesHeldMs < 1000, `${Math.round(done.pipesHeldMs)} ms later`);
    },
  },
];
