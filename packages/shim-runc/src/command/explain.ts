import {
  Cgroup,
  compareSteps,
  disassemble,
  type ExplainedProgram,
  formatDifference,
  formatProgram,
  type Program,
  parseExecProcess,
  viewProcess,
} from "@trimaran/linux";
import { parseStdio, planStdio } from "@trimaran/shim-core";
import { type Compiler, compileJoin, compileStart, planLayout } from "../compile.ts";
import { Kernel } from "../kernel.ts";
import { SeccompFilters } from "../seccomp-filters.ts";
import { formatContainer } from "./container-page.ts";
import { type ExplainRequest, type ProgramTarget, parseRequest } from "./request.ts";

/** Where a client's FIFOs would be. */
const FIFOS = "/run/client";

/** Answer one request of `trimaran explain`: text, or JSON with one object. Nothing is run, and nothing made but a cached seccomp filter. */
export function explain(text: string, cacheDirectory: string): string {
  const request = parseRequest(text);
  if (request.kind === "program") return explainProgram(request, newCompiler(cacheDirectory));
  const { target, json } = request;
  const view = viewProcess(target.pid, target.others);
  return json ? `${JSON.stringify({ ...target, others: undefined, ...view })}\n` : formatContainer(target, view);
}

function newCompiler(cacheDirectory: string): Compiler {
  const kernel = new Kernel();
  return { kernel, filters: new SeccompFilters(kernel.tools.native), cacheDirectory };
}

function explainProgram({ target, against, json }: ExplainRequest & { kind: "program" }, compiler: Compiler): string {
  const program = disassemble(compileTarget(target, compiler));
  if (against === undefined) return json ? toJson(target, program) : `${title(target)}: ${formatProgram(program)}`;
  const other = disassemble(compileTarget(against, compiler));
  const difference = compareSteps(program, other, [target.id, against.id]);
  if (!json) return formatDifference(difference, title(target), title(against));
  const { onlyA, onlyB, steps } = difference;
  const differing = steps.filter(({ side }) => side !== "both");
  return `${JSON.stringify({ a: title(target), b: title(against), onlyA, onlyB, steps: differing })}\n`;
}

function toJson(target: ProgramTarget, program: ExplainedProgram): string {
  return `${JSON.stringify({ name: target.name, kind: target.exec === undefined ? "start" : "exec", ...program })}\n`;
}

function title({ name, exec }: ProgramTarget): string {
  return exec === undefined ? `start of ${name}` : `exec in ${name}`;
}

/** The program that the runtime would run: its compiler, with stdio as a client has it who is attached. */
export function compileTarget(target: ProgramTarget, compiler: Compiler): Program {
  const { id, bundle, rootfs, exec } = target;
  const { kernel } = compiler;
  const parsedExec = exec && parseExecProcess(Buffer.from(JSON.stringify(exec.process)));
  const stdio = { stdin: "", stdout: `${FIFOS}/stdout`, stderr: `${FIFOS}/stderr`, terminal: false };
  const request = { id, namespace: "explain", bundle, rootfs, stdio, options: [] };
  const layout = planLayout(request, Buffer.from(JSON.stringify(target.config)), kernel.cgroups);
  const terminal = (parsedExec ?? layout.spec.process)?.terminal === true;
  const { plan } = planStdio(parseStdio({ ...stdio, terminal, stderr: terminal ? "" : stdio.stderr }), {
    uid: 0,
    gid: 0,
  });
  const cgroup = Cgroup.open(kernel.cgroups, layout.cgroupPlan, kernel.tools);
  if (parsedExec === undefined || exec === undefined)
    return compileStart(compiler, { layout, cgroup, stdio: plan, isReplay: false });
  return compileJoin(compiler, { layout, cgroup, stdio: plan, process: parsedExec, initPid: exec.pid });
}
