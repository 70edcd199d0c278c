// What `trimaran shims` and `trimaran upgrade` run: they know no shim's insides. JSON, one object per line.
import { listMonitors } from "./monitors.ts";
import { upgradeServers } from "./upgrade.ts";

const FAILED = 125;
const [verb, stateDirectory = process.env.TRIMARAN_STATE ?? "/run/trimaran"] = process.argv.slice(2);

try {
  const found = verb === "upgrade" ? await upgradeServers(stateDirectory) : listMonitors();
  for (const each of found) process.stdout.write(`${JSON.stringify(each)}\n`);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = FAILED;
}
