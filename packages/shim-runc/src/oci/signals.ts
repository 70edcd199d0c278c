import { signalNumber } from "@trimaran/linux";
import { UsageError } from "./flags.ts";
import { signalProgram } from "./programs.ts";

/** "SIGTERM", "term", "15" as a number, or throws UsageError. */
export function parseSignal(text: string): number {
  const number = signalNumber(text);
  if (number === undefined) throw new UsageError(`unknown signal ${JSON.stringify(text)}`);
  return number;
}

/** A program that sends it to the process whose slots it runs on. */
export function signalProgramFor(name: string): Uint8Array {
  return signalProgram(parseSignal(name));
}
