import { resolve } from "node:path";
import { off } from "../routes/parameters.ts";

const file = { kind: "parsed", parse: (path: string) => resolve(path), optional: true, placeholder: "FILE" } as const;

/** Of commands that start a process. */
export const traceFlags = {
  trace: { ...off, brief: "show where the start went, as a waterfall on stderr" },
  traceSvg: { ...file, brief: "the same as a picture" },
  traceJson: { ...file, brief: "the same as spans" },
} as const;
