import { access, constants } from "node:fs/promises";
import { join } from "node:path";
import type { CliContext } from "../cli-context.ts";
import { asOptional, type Check, parseChecks, RUNTIMES, type Runtime } from "../doctor/check.ts";
import { checkContainerd } from "../doctor/containerd.ts";
import { command } from "../report-error.ts";
import { runShimProgram } from "../shim-program.ts";

export interface DoctorFlags {
  readonly json: boolean;
  readonly runtime?: Runtime;
}

type Reported = Check & { readonly runtime: Runtime | "all" };

/** `trimaran doctor`. Exit code 0: no problem; 1: at least one; 125: it could not find out. */
export const doctor = command<DoctorFlags, []>("doctor", async (context, flags) => {
  const wanted = flags.runtime === undefined ? RUNTIMES : [...new Set<Runtime>(["runc", flags.runtime])]; // all stand on what runc needs
  const [own, ...others] = await Promise.all([
    checkInstallation(context, wanted),
    ...wanted.map((runtime) => askRuntime(context, runtime, flags.runtime)),
  ]);
  const checks = [...(own ?? []), ...others.flat()];
  const { stdout } = context.process;
  stdout.write(flags.json ? checks.map((check) => `${JSON.stringify(check)}\n`).join("") : format(checks));
  return checks.some(({ status }) => status === "problem") ? 1 : 0;
});

/** gVisor and Kata are optional unless they are asked for. */
async function askRuntime(context: CliContext, runtime: Runtime, asked: Runtime | undefined): Promise<Reported[]> {
  const { code, stdout } = await runShimProgram(context, `trimaran-${runtime}.js`, ["doctor"], {
    input: "",
    catches: true,
  });
  if (code !== 0) throw new Error(`trimaran-${runtime}.js doctor: exit status ${code}`);
  const isOptional = runtime !== "runc" && asked !== runtime;
  return parseChecks(stdout).map((check) => ({
    runtime: runtime === "runc" ? "all" : runtime,
    ...(isOptional ? asOptional(check, runtime) : check),
  }));
}

async function checkInstallation({ binDirectory }: CliContext, wanted: readonly Runtime[]): Promise<Reported[]> {
  const shims = wanted.map((runtime) => `containerd-shim-trimaran-${runtime}-v2`);
  const there = await Promise.all(
    shims.map((shim) =>
      access(join(binDirectory, shim), constants.X_OK).then(
        () => true,
        () => false,
      ),
    ),
  );
  const missing = shims.filter((_, i) => there[i] === false);
  const what = { group: "shims", name: "binaries", runtime: "all" } as const;
  const found: Reported =
    missing.length === 0
      ? { ...what, status: "ok", found: `${shims.length} in ${binDirectory}` }
      : {
          ...what,
          status: "problem",
          found: `${missing.join(", ")} missing in ${binDirectory}`,
          fix: "npm run build, or trimaran install",
        };
  return [
    found,
    ...(await checkContainerd(shims, binDirectory)).map((check) => ({ runtime: "all" as const, ...check })),
  ];
}

const MARKS = { ok: "ok", problem: "PROBLEM", note: "note" } as const;

function format(checks: readonly Reported[]): string {
  const lines: string[] = [];
  for (const [group, members] of Map.groupBy(checks, (check) => check.group)) {
    const width = Math.max(...members.map(({ name }) => name.length));
    lines.push(group);
    for (const { name, status, found, fix } of members) {
      lines.push(`  ${MARKS[status].padEnd(7)}  ${name.padEnd(width)}  ${found}`);
      if (fix !== undefined) lines.push(`           ${" ".repeat(width)}  fix: ${fix}`);
    }
  }
  const problems = checks.filter(({ status }) => status === "problem").length;
  lines.push("", problems === 0 ? "no problems" : `${problems} problem${problems === 1 ? "" : "s"}`);
  return `${lines.join("\n")}\n`;
}
