import { readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** Command lines of an apt of our own, to be completed. */
export interface Apt {
  readonly get: readonly string[];
  readonly cache: readonly string[];
}

/** An apt with sources (Debian suites), lists and cache of its own. Signatures are checked; proxies come from the machine's apt.conf.d. */
export async function openApt(root: string, suites: readonly string[]): Promise<Apt> {
  for (const folder of ["lists/partial", "cache/archives/partial", "parts"])
    await mkdir(join(root, folder), { recursive: true });
  const mirror = machineMirror();
  const lines = suites.map((suite) => `deb [signed-by=${KEYRING}] ${mirror} ${suite} main\n`);
  await writeFile(join(root, "sources.list"), lines.join(""));
  const options = {
    "Dir::Etc::sourcelist": join(root, "sources.list"),
    "Dir::Etc::sourceparts": join(root, "parts"),
    "Dir::Etc::preferencesparts": join(root, "parts"),
    "Dir::State::lists": join(root, "lists"),
    "Dir::Cache": join(root, "cache"),
    "APT::Default-Release": "",
    "APT::Sandbox::User": "root", // the folder is root's alone
  };
  const flags = Object.entries(options).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
  return { get: ["apt-get", ...flags], cache: ["apt-cache", ...flags] };
}

/** The Debian mirror that this machine uses, else the public one. */
function machineMirror(): string {
  for (const file of ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"]) {
    try {
      const found = /(https?:\/\/[^\s]+\/debian)\/?\s/.exec(readFileSync(file, "utf8"))?.[1];
      if (found !== undefined) return found;
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    }
  }
  return "http://deb.debian.org/debian";
}
