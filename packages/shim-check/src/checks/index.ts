import type { Check } from "./check.ts";
import { DAEMON } from "./daemon.ts";
import { DELETE } from "./delete.ts";
import { EVENTS } from "./events.ts";
import { EXEC } from "./exec.ts";
import { FAULTS } from "./faults.ts";
import { INFO } from "./info.ts";
import { LIFE } from "./life.ts";
import { OPTIONS } from "./options.ts";
import { RESTART } from "./restart.ts";
import { START } from "./start.ts";
import { STDIO } from "./stdio.ts";
import { TASK } from "./task.ts";
import { WIRE } from "./wire.ts";

/** All checks, in the order in which they run. */
export const CHECKS: readonly Check[] = [
  ...START,
  ...DELETE,
  ...INFO,
  ...DAEMON,
  ...WIRE,
  ...TASK,
  ...LIFE,
  ...EXEC,
  ...EVENTS,
  ...STDIO,
  ...RESTART,
  ...OPTIONS,
  ...FAULTS,
];
