import { buildCommand } from "@stricli/core";
import { parseRuntime, RUNTIMES } from "../doctor/check.ts";
import { off } from "./parameters.ts";

/** `trimaran doctor`. */
export const doctorCommand = buildCommand({
  loader: async () => (await import("../commands/doctor.ts")).doctor,
  parameters: {
    flags: {
      json: { ...off, brief: "one JSON object per check and line" },
      runtime: {
        kind: "parsed",
        parse: parseRuntime,
        optional: true,
        brief: `only what this one needs, and all of that: ${RUNTIMES.join(", ")}`,
        placeholder: "R",
        proposeCompletions: (partial: string) => RUNTIMES.filter((runtime) => runtime.startsWith(partial)),
      },
    },
  },
  docs: {
    brief: "look whether this host can run containers, and what helps if not",
    customUsage: ["", "--runtime kata", "--json"],
    fullDescription:
      "PROBLEM: containers do not run, or not as they should; a note is about something optional. gVisor and Kata are optional unless asked for. Sandboxes and machines are really started, which takes some seconds. Exit code: 0 no problem; 1 at least one; 125 it could not find out.",
  },
});
