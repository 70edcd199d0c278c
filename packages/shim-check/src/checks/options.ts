import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ANY, packAny, runtimeoptions } from "@trimaran/proto";
import { Code, StatusError } from "ttrpc-ts";
import { mountsOf } from "../host/belongings.ts";
import { expectEqual, expectError, expectThat } from "../lab/finding.ts";
import type { Check } from "./check.ts";

export const OPTIONS: readonly Check[] = [
  {
    id: "options.unknown-type",
    title: "an Any of an unknown type in Create is refused with words, never with code 12, and ends nothing",
    sections: "6",
    numbers: [32, 65],
    run: async (lab) => {
      const container = await lab.shim();
      const { id, bundle, task } = container;
      const options = packAny("shim.check.v1.Unknown", Buffer.from([8, 1]));
      await expectError("Create", task.create({ id, bundle: bundle.path, rootfs: bundle.mounts, options }));
      await container.create();
      await container.finish();
    },
  },
  {
    id: "options.empty-value",
    title: "an Any of a known type without a value in Create is no options",
    sections: "6",
    numbers: [65],
    run: async (lab) => {
      const container = await lab.shim();
      await container.create({ options: packAny(ANY.runcOptions, new Uint8Array()) });
      await container.finish();
    },
  },
  {
    id: "options.generic",
    title:
      "runtimeoptions.v1.Options, which containerd sends for any runtime, are taken or refused with words, never with code 12",
    sections: "6",
    numbers: [65],
    run: async (lab) => {
      const value = runtimeoptions.v1.Options.encode({ typeUrl: "", configPath: "", configBody: new Uint8Array() });
      const container = await lab.shim();
      const { id, bundle, task } = container;
      const options = packAny(ANY.runtimeOptions, value);
      await task.create({ id, bundle: bundle.path, rootfs: bundle.mounts, options }).catch((error: unknown) => {
        const isRefused = error instanceof StatusError && error.message !== "ttrpc: closed";
        if (!isRefused || error.code === Code.Unimplemented) throw error;
      });
      expectThat("a shim that lives", (await task.connect({ id })).shimPid > 0, "none");
      await container.finish();
    },
  },
  {
    id: "options.rootfs-overlay",
    title:
      "an overlay in Create is the container's rootfs: what it writes is in upperdir; after Delete BUNDLE/rootfs is empty",
    sections: "7",
    numbers: [67],
    run: async (lab) => {
      const container = await lab.exited("echo text > /written");
      const upper =
        container.bundle.mounts[0]?.options
          .find((option) => option.startsWith("upperdir="))
          ?.slice("upperdir=".length) ?? "";
      await container.task.delete({ id: container.id });
      expectEqual("in BUNDLE/rootfs", await readdir(join(container.bundle.path, "rootfs")), []);
      expectEqual("mounts", await mountsOf({ dir: container.bundle.path }), []);
      await container.shutDown();
      expectEqual("upperdir/written", await readFile(join(upper, "written"), "utf8"), "text\n");
    },
  },
  {
    id: "options.rootfs-read-only",
    title: "a bind mount with ro in Create is a rootfs that cannot be written",
    sections: "7",
    numbers: [67],
    run: async (lab) => {
      const { stdout, paths } = await lab.output();
      const container = await lab.shim("touch /written; echo $?");
      const rootfs = [{ type: "bind", source: lab.target.rootfs, target: "", options: ["rbind", "ro"] }];
      await container.create({ rootfs, ...paths });
      await container.start();
      await container.wait();
      await container.remove();
      expectEqual("touch's exit status", await stdout.end(lab.limitMs), "1\n");
      expectThat("no file in the folder", !(await readdir(lab.target.rootfs)).includes("written"), "it was written");
    },
  },
  {
    id: "options.rootfs-none",
    title: "without mounts in Create root.path of config.json is the rootfs",
    sections: "7",
    numbers: [67],
    run: async (lab) => {
      const container = await lab.shim("exit 12", { rootPath: lab.target.rootfs });
      await container.create({ rootfs: [] });
      await container.start();
      expectEqual("exit_status", (await container.wait()).exitStatus, 12);
      await container.remove();
    },
  },
  {
    id: "options.mount-undone",
    title: "a Create whose second mount fails undoes the first",
    sections: "3.3, 7",
    numbers: [67],
    run: async (lab) => {
      const container = await lab.shim();
      const { id, bundle, task } = container;
      const missing = { type: "bind", source: "/nowhere/at-all", target: "", options: ["rbind"] };
      await expectError("Create", task.create({ id, bundle: bundle.path, rootfs: [...bundle.mounts, missing] }));
      expectEqual("mounts", await mountsOf({ dir: bundle.path }), []);
      await container.finish();
    },
  },
  {
    id: "options.bad-config",
    title: "a config.json that is no JSON fails start or Create with words, and ends in a clean delete",
    sections: "2.8, 3.3",
    numbers: [8],
    run: async (lab) => {
      const { bundle, options } = await lab.prepare("true");
      await writeFile(join(bundle.path, "config.json"), "{");
      const done = await lab.invoke(options, "start");
      if (done.code !== 0) {
        expectThat("words", `${done.stdout}${done.stderr}`.trim() !== "", "nothing");
        return;
      }
      await lab.delete(options);
      const container = await lab.shim();
      await writeFile(join(container.bundle.path, "config.json"), "{");
      const { id, task } = container;
      await expectError("Create", task.create({ id, bundle: container.bundle.path, rootfs: container.bundle.mounts }));
      await container.finish();
    },
  },
];
