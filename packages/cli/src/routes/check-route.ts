import { buildCommand } from "@stricli/core";
import { parseCount } from "../flags/parse-size.ts";
import { off } from "./parameters.ts";

const count = (brief: string, byDefault: string) =>
  ({ kind: "parsed", parse: parseCount, default: byDefault, brief, placeholder: "N" }) as const;

/** `trimaran check`. */
export const checkCommand = buildCommand({
  loader: async () => (await import("../commands/check.ts")).check,
  parameters: {
    flags: {
      only: {
        kind: "parsed",
        parse: String,
        optional: true,
        variadic: ",",
        brief: "ids, beginnings of ids, or numbers of the contract's checklist",
        placeholder: "CHECK",
      },
      faults: { ...off, brief: "killed shims, stalled readers, garbage, races, too" },
      slow: { ...off, brief: "checks that take their time by their nature, too" },
      list: { ...off, brief: "show the checks, run none" },
      json: { ...off, brief: "one JSON object per check" },
      verbose: { ...off, brief: "each call and its answer, also where all is well" },
      as: { kind: "enum", values: ["1.6", "2.1", "2.3"], default: "2.1", brief: "the containerd that drives the shim" },
      jobs: count("checks at the same time", "1"),
      timeout: count("seconds for one call", "10"),
      options: { kind: "parsed", parse: String, optional: true, brief: "runtime options", placeholder: "TYPE=JSON" },
      rootfs: { kind: "parsed", parse: String, optional: true, brief: "instead of busybox's", placeholder: "DIR" },
    },
    aliases: { v: "verbose", j: "jobs" },
    positional: {
      kind: "array",
      parameter: { brief: "a shim's binary or its runtime's name", parse: String, placeholder: "SHIM" },
      maximum: 1,
    },
  },
  docs: {
    brief: "check whether a shim keeps the shim-v2 contract, without containerd",
    customUsage: ["io.containerd.runc.v2", "--faults --slow ./containerd-shim-mine-v1", "[FLAGS] SHIM", "--list"],
    fullDescription: "Needs root. Exit code: 0 no check failed; 1 one has; 125 they could not be run.",
  },
});
