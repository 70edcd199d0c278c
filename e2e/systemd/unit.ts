import { run, runOk } from "../harness/process.ts";

/** Properties of a unit as `systemctl show` has them. A unit that is not there is "inactive". */
export async function showUnit(unit: string, ...names: readonly string[]): Promise<Readonly<Record<string, string>>> {
  const stdout = await runOk(["systemctl", "show", unit, `--property=${names.join(",")}`]);
  return Object.fromEntries(
    stdout
      .trim()
      .split("\n")
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );
}

/** Units that are loaded and have this in their name. */
export async function unitsNamed(part: string): Promise<string[]> {
  const stdout = await runOk(["systemctl", "list-units", "--all", "--no-legend", "--plain", `*${part}*`]);
  return stdout.split("\n").flatMap((line) => line.split(" ")[0] || []);
}

/** `systemctl` for its effect. Throws with its words. */
export async function systemctl(...words: readonly string[]): Promise<void> {
  const { code, stderr } = await run(["systemctl", ...words]);
  if (code !== 0) throw new Error(`systemctl ${words.join(" ")}: exit status ${code}: ${stderr}`);
}
