import type { Check } from "../checks/check.ts";
import type { Result, Verdict } from "../run.ts";
import type { Identity } from "../shim/identity.ts";

const WORDS: Readonly<Record<Verdict["kind"], string>> = {
  passed: "pass",
  failed: "FAIL",
  known: "known",
  "not offered": "not offered",
};
const COLOURS: Readonly<Record<Verdict["kind"], number>> = { passed: 32, failed: 31, known: 33, "not offered": 36 };

/** How a report is to look. */
export interface ReportStyle {
  readonly colour: boolean;
  /** The journal of every check, not only of those that failed. */
  readonly verbose: boolean;
}

/** `§2.6 #12`. */
export function ruleOf({ sections, numbers }: Check): string {
  return [`§${sections}`, ...numbers.map((number) => `#${number}`)].join(" ");
}

/** A check's line, and what was expected and came if it did not pass. */
export function resultText({ check, verdict, durationMs, journal }: Result, { colour, verbose }: ReportStyle): string {
  const word = WORDS[verdict.kind].padEnd(11);
  const shown = colour ? `\x1b[${COLOURS[verdict.kind]}m${word}\x1b[0m` : word;
  const seconds = (durationMs / 1000).toFixed(1).padStart(5);
  const head = `${shown} ${check.id.padEnd(29)}${seconds} s  ${check.title} (${ruleOf(check)})`;
  const steps = verbose || verdict.kind === "failed" ? journal.map((step) => ["", step] as const) : [];
  const [first, ...rest] = steps;
  const asked = first === undefined ? [] : [["asked", first[1]] as const, ...rest];
  return [head, ...[...details(verdict), ...asked].map(([name, text]) => detail(name, text))]
    .map((line) => `${line}\n`)
    .join("");
}

function details(verdict: Verdict): (readonly [name: string, text: string])[] {
  switch (verdict.kind) {
    case "passed":
      return [];
    case "not offered":
      return [["because", verdict.reason]];
    case "known":
      return [
        ["expected", verdict.expected],
        ["came", verdict.came],
        ["known", verdict.reason],
      ];
    case "failed":
      return [
        ["expected", verdict.expected],
        ["came", verdict.came],
      ];
  }
}

const LONGEST_DETAIL = 600;

/** Control characters would forge lines. */
function detail(name: string, text: string): string {
  const clean = text
    .trim()
    .replace(/\s*\n\s*/g, "; ")
    .replace(/\p{Cc}/gu, "?");
  const cut = clean.length <= LONGEST_DETAIL ? clean : `${clean.slice(0, LONGEST_DETAIL - 1)}…`;
  return `${" ".repeat(12)}${name.padEnd(10)}${cut}`;
}

/** A check's result as one JSON object with stable keys. */
export function resultJson({ check, verdict, durationMs, journal }: Result): object {
  const { id, title, sections, numbers } = check;
  const { kind, ...more } = verdict;
  return {
    check: id,
    verdict: kind,
    ...more,
    title,
    sections,
    numbers,
    duration_ms: Math.round(durationMs),
    asked: journal,
  };
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

/** What is under test. */
export function headText(binary: string, { name, version }: Identity, style: string, checks: number): string {
  return `${name} ${version} (${binary}), as containerd ${style} drives it: ${counted(checks, "check")}\n\n`;
}

/** The count of each verdict. */
export function summary(results: readonly Result[]): Readonly<Record<Verdict["kind"], number>> {
  const count = (kind: Verdict["kind"]) => results.filter(({ verdict }) => verdict.kind === kind).length;
  return {
    passed: count("passed"),
    failed: count("failed"),
    known: count("known"),
    "not offered": count("not offered"),
  };
}

/** The last line, after the ids of those that failed. */
export function summaryText(results: readonly Result[], durationMs: number): string {
  const { passed, failed, known, "not offered": missing } = summary(results);
  const seconds = (durationMs / 1000).toFixed(1);
  const ids = results.filter(({ verdict }) => verdict.kind === "failed").map(({ check }) => check.id);
  const again = ids.length === 0 ? "" : `\nagain, step by step: --verbose --only ${ids.join(",")}\n`;
  return `\n${passed} passed, ${failed} failed, ${counted(known, "known deviation")}, ${missing} not offered, in ${seconds} s\n${again}`;
}

/** `--list`. */
export function listText(checks: readonly Check[]): string {
  return checks.map((check) => `${check.id.padEnd(29)}${ruleOf(check).padEnd(26)}${check.title}\n`).join("");
}
