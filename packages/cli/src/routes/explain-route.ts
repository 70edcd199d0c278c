import { buildCommand } from "@stricli/core";
import { proposeContainers } from "../completion/propose.ts";
import { managerFlags } from "../flags/manager-flags.ts";
import { runAliases, runFlags } from "../flags/run-flags.ts";
import { off } from "./parameters.ts";

const { tty, env, mount, memory, cpus, pidsLimit, user, cwd, hostname, net, netHost, readOnly, rootfsRw } = runFlags;
const { privileged, capAdd, capDrop } = runFlags;

/** `run`'s flags that change the program, and explain's own. */
export const explainFlags = {
  json: { ...off, brief: "one JSON object" },
  against: {
    kind: "parsed",
    parse: String,
    optional: true,
    brief: "only what differs from the start of this one",
    placeholder: "BUNDLE|IMAGE|ID",
  },
  launch: { ...off, brief: "of a running container: the program that made it" },
  ...{ tty, env, mount, memory, cpus, pidsLimit, user, cwd, hostname, net, netHost, readOnly, rootfsRw },
  ...{ privileged, capAdd, capDrop },
  ...managerFlags,
} as const;

const { t, e, u, m } = runAliases;
export const explainAliases = { t, e, u, m } as const;

/** `trimaran explain`. */
export const explainCommand = buildCommand({
  loader: async () => (await import("../commands/explain.ts")).explain,
  parameters: {
    flags: explainFlags,
    aliases: explainAliases,
    positional: {
      kind: "array",
      parameter: {
        brief: "a bundle, a container, or what `run` takes; then the command",
        parse: String,
        placeholder: "WHAT CMD",
        proposeCompletions: proposeContainers,
      },
      minimum: 1,
    },
  },
  docs: {
    brief: "show what a start or an exec asks of the kernel, or what a running container is",
    customUsage: [
      "busybox sh",
      "web",
      "web sh",
      "--against web web sh",
      "--privileged --against busybox busybox",
      "[FLAGS] WHAT [CMD…]",
    ],
    fullDescription:
      "A bundle or an image: the launch program of trimaran-runc, step by step, with the field of config.json that each step serves. A running container: its namespaces, cgroup, mounts, capabilities, seccomp and layers. With a command: the program of an exec in it, which enters namespaces and makes none. Nothing is run.",
  },
});
