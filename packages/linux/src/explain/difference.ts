import type { ExplainedProgram, ExplainedStep } from "./disassemble.ts";

/** A step that only one of two programs has, or that both have. Those of `b` where both. */
export interface DifferentStep {
  readonly side: "a" | "b" | "both";
  readonly step: ExplainedStep;
}

/** What distinguishes two programs. */
export interface ProgramDifference {
  readonly onlyA: number;
  readonly onlyB: number;
  /** In the order in which they run. */
  readonly steps: readonly DifferentStep[];
}

/**
 * Compare two programs by what their steps do: call, arguments and field. Registers and step numbers are left out of the comparison: they
 * move when anything before them does. `ids`: the containers' own, which make no difference either where a path has them.
 */
export function compareSteps(
  a: ExplainedProgram,
  b: ExplainedProgram,
  ids?: readonly [string, string],
): ProgramDifference {
  const left = a.steps.map((step) => identity(step, ids?.[0]));
  const right = b.steps.map((step) => identity(step, ids?.[1]));
  const common = commonLengths(left, right);
  const at = (i: number, j: number) => common[i * (right.length + 1) + j] ?? 0;
  const steps: DifferentStep[] = [];
  let [i, j] = [0, 0];
  while (i < left.length || j < right.length) {
    const [mine, other] = [a.steps[i], b.steps[j]];
    if (other !== undefined && left[i] === right[j] && mine !== undefined) {
      steps.push({ side: "both", step: other });
      i++;
      j++;
    } else if (mine !== undefined && (other === undefined || at(i + 1, j) >= at(i, j + 1))) {
      steps.push({ side: "a", step: mine });
      i++;
    } else if (other !== undefined) {
      steps.push({ side: "b", step: other });
      j++;
    }
  }
  const count = (side: DifferentStep["side"]) => steps.filter((each) => each.side === side).length;
  return { onlyA: count("a"), onlyB: count("b"), steps };
}

/** Lengths of the longest common subsequences of the suffixes, row by row. */
function commonLengths(left: readonly string[], right: readonly string[]): Uint16Array {
  const width = right.length + 1;
  const lengths = new Uint16Array((left.length + 1) * width);
  for (let i = left.length - 1; i >= 0; i--) {
    for (let j = right.length - 1; j >= 0; j--) {
      lengths[i * width + j] =
        left[i] === right[j]
          ? 1 + (lengths[(i + 1) * width + j + 1] ?? 0)
          : Math.max(lengths[(i + 1) * width + j] ?? 0, lengths[i * width + j + 1] ?? 0);
    }
  }
  return lengths;
}

/** An index in a field is a place in a list: a mount that comes in between must not make all that follow differ. */
function identity({ field, call, arguments: args, tolerates }: ExplainedStep, id: string | undefined): string {
  const withoutRegisters = args
    .map((argument) => argument.replace(/\br[0-9]+\b|data\+[0-9]+/g, "_"))
    .map((argument) => (id === undefined ? argument : argument.replaceAll(id, "ID")));
  return JSON.stringify([field.replace(/\[[0-9]+\]/, ""), call, withoutRegisters, tolerates]);
}
