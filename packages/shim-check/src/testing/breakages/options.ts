import { mkdirSync } from "node:fs";
import { Code } from "ttrpc-ts";
import { type Breakage, calls, forgiving, request } from "./breakage.ts";

/** The rootfs is written to a place that nobody knows. */
function elsewhere(rootfs: readonly { options: string[] }[], bundle: string): void {
  for (const mount of rootfs) {
    mount.options = mount.options.map((option) => {
      const [, name] = /^(upperdir|workdir)=/.exec(option) ?? [];
      if (name === undefined) return option;
      const path = `${bundle}.${name}`;
      mkdirSync(path, { recursive: true });
      return `${name}=${path}`;
    });
  }
}

export const OPTIONS: Readonly<Record<string, Breakage>> = {
  "rootfs: the mounts are forgotten": {
    caughtBy: ["options.rootfs-overlay"],
    hooks: request("Create", ({ rootfs, bundle }) => {
      elsewhere(rootfs as { options: string[] }[], String(bundle));
    }),
  },
  "rootfs: never read-only": {
    caughtBy: ["options.rootfs-read-only"],
    hooks: request("Create", ({ rootfs }) => {
      for (const mount of rootfs as { options: string[] }[])
        mount.options = mount.options.filter((option) => option !== "ro");
    }),
  },
  "rootfs: mounts are needed": {
    caughtBy: ["options.rootfs-none"],
    hooks: calls("Create", ({ request }) =>
      request.rootfs.length === 0 ? { code: Code.InvalidArgument, message: "rootfs" } : undefined,
    ),
  },
  "rootfs: a failed mount is no matter": {
    caughtBy: ["options.mount-undone", "task.create-fails"],
    hooks: request("Create", (create) => {
      create.rootfs = (create.rootfs as unknown[]).slice(0, 1);
    }),
  },
  "config.json: nobody minds": {
    caughtBy: ["options.bad-config"],
    hooks: { start: { swallowsFailure: true }, ...forgiving("Create") },
  },
};
