import type { Architecture } from "../syscall/numbers.ts";
import { waitAtGate } from "./identity.ts";
import { type Program, ProgramBuilder } from "./program.ts";
import { cloneFirst, closeAllBut } from "./stage.ts";

/** A process that waits at the start gate, and ends when it opens: systemd makes no scope without one. It ends with its monitor, too. */
export function compileHolder(architecture: Architecture): Program {
  const b = new ProgramBuilder(architecture);
  cloneFirst(b, 0, undefined, 0);
  closeAllBut(b, []);
  waitAtGate(b, "monitor");
  b.op("EXIT", [0]);
  return b.build();
}
