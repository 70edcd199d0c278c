import type { ProgramDifference } from "./difference.ts";
import type { ExplainedProgram, ExplainedStep } from "./disassemble.ts";
import { GROUP_PURPOSE } from "./groups.ts";

/**
 * A program as text: what it makes, then a part per group, a line per field and a line per step, in the order in which they run:
 * ```
 * MOUNTS: what config.json puts over the image …
 *   mounts[0] "/proc"
 *     42  r3 = fsopen("proc", FSOPEN_CLOEXEC)  # begin a file system
 * ```
 */
export function formatProgram(program: ExplainedProgram): string {
  const lines = [...summary(program)];
  let group: string | undefined;
  let field: string | undefined;
  const told = new Set<string>();
  for (const step of program.steps) {
    if (step.group !== group) {
      const why = told.has(step.group) ? "" : `: ${GROUP_PURPOSE[step.group]}`;
      lines.push("", `${step.group.toUpperCase()}${why}`);
      told.add(step.group);
      field = undefined;
    }
    if (step.field !== field) lines.push(`  ${step.field}`);
    ({ group, field } = step);
    lines.push(
      `  ${String(step.index).padStart(5)}  ${formatStep(step)}${step.purpose === "" ? "" : `  # ${step.purpose}`}`,
    );
  }
  return `${lines.join("\n")}\n`;
}

function summary({ steps, processes, lengthBytes, architecture, newNamespaces, joinedNamespaces }: ExplainedProgram) {
  const list = (kinds: readonly string[]) => (kinds.length === 0 ? "none" : kinds.join(", "));
  return [
    `${steps.length} steps, ${processes === 1 ? "1 process" : `${processes} processes`}, ${lengthBytes} bytes, ${architecture}`,
    `new namespaces:     ${list(newNamespaces)}`,
    `entered namespaces: ${list(joinedNamespaces)}`,
  ];
}

/** `r3 = fsopen("proc", FSOPEN_CLOEXEC)  [tolerates ENOENT; on error to 50]`, without its number. */
export function formatStep(
  step: Omit<ExplainedStep, "jump"> & { readonly jump?: ExplainedStep["jump"] | undefined },
): string {
  const { call, arguments: args, result, tolerates, jump } = step;
  const flow = [
    ...(tolerates.length === 0 ? [] : [`tolerates ${tolerates.join(", ")}`]),
    ...(jump === undefined ? [] : [`on ${jump.after} to ${jump.to}`]),
  ];
  const target = result === undefined ? "" : `${result} = `;
  return `${target}${call}(${args.join(", ")})${flow.length === 0 ? "" : `  [${flow.join("; ")}]`}`;
}

/** Two programs as one text: `-` what only the first does, `+` what only the second does; fields name the place. */
export function formatDifference({ onlyA, onlyB, steps }: ProgramDifference, a: string, b: string): string {
  const lines = [`--- ${a}: ${onlyA} steps that the other lacks`, `+++ ${b}: ${onlyB} steps that the other lacks`];
  let field: string | undefined;
  for (const { side, step } of steps) {
    if (side === "both") continue;
    const place = `${step.group}: ${step.field}`;
    if (place !== field) lines.push("", place);
    field = place;
    lines.push(`${side === "a" ? "-" : "+"} ${formatStep({ ...step, jump: undefined })}`);
  }
  return `${lines.join("\n")}\n`;
}
