import { readFileSync } from "node:fs";
import type { ProgramBuilder } from "@trimaran/linux";
import { type Host, type MonitoredProcess, newProgram } from "@trimaran/shim-core";
import { HELPER_SLOT } from "./steps.ts";

// linux/memfd.h, linux/fcntl.h
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
const SEALS = 1 | 2 | 4; // no more seals, no shrinking, no growing

/** What a helper may say in its life; what a guest makes it say beyond that is lost, and fills nobody's disk. */
const LIMIT_BYTES = 64 << 10;
/** How much of it is told. */
const TOLD_CHARACTERS = 300;
/** STORE's and LOAD's format: 32 bits. */
const FOUR_BYTES = 4;

/** In the monitor: memory of a fixed size for a helper's stdout and stderr. It is there until the helper is forgotten. */
export function openWords(b: ProgramBuilder): void {
  b.field = "log";
  const memory = b.call("memfd_create", [b.data.string("words"), MFD_CLOEXEC | MFD_ALLOW_SEALING]);
  b.sys("ftruncate", [memory, LIMIT_BYTES]);
  b.sys("fcntl", [memory, F_ADD_SEALS, SEALS]);
  b.op("KEEP", [memory, HELPER_SLOT.words]);
  b.release(memory);
}

/** The last line that a helper has said, printable and short; empty if there is none. */
export async function lastWords(host: Host, helper: MonitoredProcess): Promise<string> {
  const fd = await slotNumber(helper);
  if (fd === undefined) return "";
  const text = read(`/proc/${host.monitorPid}/fd/${fd}`).replace(/\0+$/, "").trimEnd();
  const line = text.slice(text.lastIndexOf("\n") + 1);
  return line.replace(/[^ -~]/g, "?").slice(0, TOLD_CHARACTERS);
}

/** The monitor's number of the slot's fd. */
async function slotNumber(helper: MonitoredProcess): Promise<number | undefined> {
  const b = newProgram("log");
  const place = b.data.space(8);
  const number = b.register(); // register 0: RUN's result
  b.op("STORE", [{ kind: "slot", index: HELPER_SLOT.words }, place.offset, FOUR_BYTES]);
  b.op("LOAD", [place.offset, FOUR_BYTES], { to: number });
  const { errno, value } = await helper.run(b.build().bytes);
  return errno === 0 ? Number(value) : undefined;
}

function read(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return ""; // the monitor has just gone
  }
}
