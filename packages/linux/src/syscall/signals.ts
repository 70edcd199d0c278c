// biome-ignore-all format: a table, in the kernel's order of numbers
/** Signal names to numbers, as on x86_64 and arm64 (signal(7)). Real-time signals are computed: see `signalNumber`. */
export const SIGNAL = {
  SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGILL: 4, SIGTRAP: 5, SIGABRT: 6, SIGBUS: 7, SIGFPE: 8, SIGKILL: 9, SIGUSR1: 10,
  SIGSEGV: 11, SIGUSR2: 12, SIGPIPE: 13, SIGALRM: 14, SIGTERM: 15, SIGSTKFLT: 16, SIGCHLD: 17, SIGCONT: 18,
  SIGSTOP: 19, SIGTSTP: 20, SIGTTIN: 21, SIGTTOU: 22, SIGURG: 23, SIGXCPU: 24, SIGXFSZ: 25, SIGVTALRM: 26,
  SIGPROF: 27, SIGWINCH: 28, SIGIO: 29, SIGPWR: 30, SIGSYS: 31,
} as const;

/** A signal's usual name. */
export type SignalName = keyof typeof SIGNAL;

const SYNONYMS: Readonly<Record<string, number>> = { SIGIOT: 6, SIGCLD: 17, SIGPOLL: 29, SIGUNUSED: 31 };
const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(SIGNAL).map(([name, number]) => [number, name]));
const RTMIN = 34; // the C library's: the kernel's 32 and 33 belong to its threads
const RTMAX = 64;

/**
 * The number (1 to 64) of a name: "SIGTERM", "TERM", "sigterm", "SIGRTMIN+3", "SIGRTMAX-1", or of a number as text.
 * Undefined for anything else; 0 is not a signal.
 */
export function signalNumber(text: string): number | undefined {
  if (/^[0-9]{1,2}$/.test(text)) {
    const number = Number(text);
    return number >= 1 && number <= RTMAX ? number : undefined;
  }
  const upper = text.toUpperCase();
  const name = upper.startsWith("SIG") ? upper : `SIG${upper}`;
  const table: Readonly<Record<string, number>> = { ...SYNONYMS, ...SIGNAL };
  if (Object.hasOwn(table, name)) return table[name];
  const realTime = /^SIGRT(?:(MIN)(?:\+([0-9]{1,2}))?|(MAX)(?:-([0-9]{1,2}))?)$/.exec(name);
  if (realTime === null) return undefined;
  const number = realTime[1] === "MIN" ? RTMIN + Number(realTime[2] ?? 0) : RTMAX - Number(realTime[4] ?? 0);
  return number >= RTMIN && number <= RTMAX ? number : undefined;
}

/** The name of signal 1 to 64 ("SIGTERM", "SIGRTMIN+3"), or `signal N` for a number without one. */
export function signalName(number: number): string {
  const name = NAMES.get(number);
  if (name !== undefined) return name;
  if (number === RTMIN) return "SIGRTMIN";
  return number > RTMIN && number <= RTMAX ? `SIGRTMIN+${number - RTMIN}` : `signal ${number}`;
}
