import { BOOTSTRAP } from "./breakages/bootstrap.ts";
import type { Breakage } from "./breakages/breakage.ts";
import { EVENTS } from "./breakages/events.ts";
import { EXEC } from "./breakages/exec.ts";
import { FAULTS } from "./breakages/faults.ts";
import { OPTIONS } from "./breakages/options.ts";
import { STDIO } from "./breakages/stdio.ts";
import { TASK } from "./breakages/task.ts";
import { WIRE } from "./breakages/wire.ts";

/** Each breaks one thing in a shim that is right otherwise. */
export const BREAKAGES: Readonly<Record<string, Breakage>> = {
  ...BOOTSTRAP,
  ...WIRE,
  ...TASK,
  ...EXEC,
  ...EVENTS,
  ...STDIO,
  ...OPTIONS,
  ...FAULTS,
};
