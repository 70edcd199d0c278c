import { constants } from "node:os";

/** `9`, `KILL`, `SIGKILL`, `sigkill`, `RTMIN+1` to a number from 1 to 64. Throws RangeError. */
export function parseSignal(text: string): number {
  if (/^\d{1,2}$/.test(text) && Number(text) >= 1 && Number(text) <= 64) return Number(text);
  const name = text.toUpperCase().replace(/^SIG/, "");
  const realtime = /^RTMIN(?:\+(\d{1,2}))?$/.exec(name);
  if (realtime !== null && 34 + Number(realtime[1] ?? 0) <= 64) return 34 + Number(realtime[1] ?? 0);
  const number = new Map<string, number>(Object.entries(constants.signals)).get(`SIG${name}`);
  if (number !== undefined) return number;
  throw new RangeError(`${JSON.stringify(text)}: no such signal`);
}
