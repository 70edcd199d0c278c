import { AREAS, type Check } from "../checks/check.ts";
import type { Deviation } from "../deviations.ts";
import { ruleOf } from "./report.ts";

const HEAD = `# What \`trimaran check\` checks

§ and # are sections and checklist numbers of Trimaran's description of the contract as containerd really behaves; each title says the
rule by itself. *slow*: only with \`--slow\`; \`faults.…\`: only with \`--faults\`. Written by \`npm run docs\`; a test holds it against the code.
`;

/** CHECKS.md: every check, and what upstream's shim is known to do otherwise. */
export function checksPage(checks: readonly Check[], deviations: readonly Deviation[]): string {
  const areas = AREAS.map((area) => {
    const rows = checks.filter(({ id }) => id.startsWith(`${area}.`)).map(checkRow);
    return `\n## ${area}\n| check | | rule |\n|---|---|---|\n${rows.join("")}`;
  });
  const head = "\n## Known deviations of containerd-shim-runc-v2\n| version | checks | reason |\n|---|---|---|\n";
  return `${HEAD}${areas.join("")}${head}${deviations.map(deviationRow).join("")}`;
}

function checkRow(check: Check): string {
  return `| \`${check.id}\` | ${ruleOf(check)} | ${check.title}${check.isSlow === true ? " *slow*" : ""} |\n`;
}

function deviationRow({ versions, checks, reason }: Deviation): string {
  const ids = checks.map((id) => `\`${id}\``);
  return `| ${versions?.map((version) => `${version}x`).join(", ") ?? "all"} | ${ids.join(" ")} | ${reason} |\n`;
}
