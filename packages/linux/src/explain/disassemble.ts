import type { Program } from "../launch/program.ts";
import { NAMESPACE_FLAG } from "../spec/tables.ts";
import type { Architecture } from "../syscall/numbers.ts";
import { printArguments } from "./arguments.ts";
import { groupOf, type StepGroup } from "./groups.ts";
import { ProgramImage, type RawStep } from "./image.ts";
import { purposeOf } from "./purposes.ts";

/** One step, for a reader. Everything but `field`, `group` and `purpose` is read from the bytes. */
export interface ExplainedStep {
  readonly index: number;
  readonly group: StepGroup;
  /** The OCI field, or the part of the shim, that it serves: `mounts[3] "/data"`. */
  readonly field: string;
  /** The system call, or in capitals an operation of the interpreter (PROTOCOL.md, section 5). */
  readonly call: string;
  /** Decoded: flags by name, structures opened. */
  readonly arguments: readonly string[];
  /** `r3`: where the result goes. */
  readonly result?: string;
  /** Errnos that are no failure; "any" for all. */
  readonly tolerates: readonly string[];
  /** Where it goes on, if not with the next step. */
  readonly jump?: { readonly after: "success" | "error"; readonly to: number };
  readonly purpose: string;
}

/** A launch program, read back. The JSON form of `trimaran explain --json` is this, one object. */
export interface ExplainedProgram {
  readonly architecture: Architecture;
  readonly lengthBytes: number;
  readonly registers: number;
  /** Processes that it makes besides forked helpers: its CLONE steps. */
  readonly processes: number;
  /** Kinds of namespaces that it makes, and kinds that it enters; in the kernel's order. */
  readonly newNamespaces: readonly string[];
  readonly joinedNamespaces: readonly string[];
  readonly steps: readonly ExplainedStep[];
}

/** Read a launch program back from its bytes. The labels give fields only: what is shown as a call is what will run. */
export function disassemble(program: Program): ExplainedProgram {
  const image = new ProgramImage(program);
  const raw = Array.from({ length: image.stepCount }, (_, index) => image.step(index));
  return {
    architecture: image.architecture,
    lengthBytes: image.lengthBytes,
    registers: image.registerCount,
    processes: raw.filter(({ call }) => call === "CLONE").length,
    newNamespaces: kindsOf(image, raw, ["CLONE", "unshare"]),
    joinedNamespaces: kindsOf(image, raw, ["setns"]),
    steps: raw.map((step, index) => explainStep(step, index, image, program)),
  };
}

function explainStep(step: RawStep, index: number, image: ProgramImage, { labels }: Program): ExplainedStep {
  const { field, action } = labels[index] ?? { field: "", action: step.call };
  return {
    index,
    group: groupOf(field, step.call),
    field,
    call: step.call,
    arguments: printArguments(step, image),
    ...(step.register === undefined ? {} : { result: `r${step.register}` }),
    tolerates: step.tolerates,
    ...(step.skip === undefined ? {} : { jump: { after: step.skip.after, to: index + 1 + step.skip.count } }),
    purpose: purposeOf(step.call, action),
  };
}

/** Kinds of namespaces in the flags of these calls. */
function kindsOf(image: ProgramImage, steps: readonly RawStep[], calls: readonly string[]): string[] {
  let all = 0n;
  for (const { call, arguments: args } of steps) {
    if (!calls.includes(call)) continue;
    const argument = args[call === "setns" ? 1 : 0];
    if (argument === undefined) continue;
    all |= argument.kind === "data" ? (image.words(Number(argument.value), 1)[0] ?? 0n) : argument.value;
  }
  return Object.entries(NAMESPACE_FLAG)
    .filter(([, flag]) => (all & BigInt(flag)) !== 0n)
    .map(([kind]) => kind);
}
