import { resolve } from "node:path";
import { buildCommand, buildRouteMap } from "@stricli/core";
import { listFlags, off } from "./parameters.ts";

const listCommand = buildCommand({
  loader: async () => (await import("../commands/shims.ts")).shims,
  parameters: {
    flags: {
      ...listFlags,
      quiet: { ...off, brief: "process ids only" },
      orphans: { ...off, brief: "only those whose engine or container is gone" },
    },
    aliases: { q: "quiet" },
  },
  docs: { brief: "list the pods' shims of this machine, with their owners", customUsage: ["", "--orphans", "--json"] },
});

/** `trimaran shims …`; alone it lists. */
export const shimRoutes = buildRouteMap({
  routes: { ls: listCommand },
  defaultCommand: "ls",
  docs: { brief: "list the pods' shims of this machine" },
});

/** `trimaran upgrade`. */
export const upgradeCommand = buildCommand({
  loader: async () => (await import("../commands/upgrade.ts")).upgrade,
  parameters: {
    flags: {
      state: {
        kind: "parsed",
        parse: (text: string) => resolve(text),
        brief: "the shims' (default /run/trimaran, or $TRIMARAN_STATE)",
        placeholder: "DIR",
        optional: true,
      },
      json: { ...off, brief: "one JSON object per task server" },
    },
  },
  docs: {
    brief: "let running containers be served by the build that is installed now",
    customUsage: ["", "--json"],
    fullDescription: "After `trimaran install`. Containers, what is asked of them and who waits for them go on.",
  },
});
