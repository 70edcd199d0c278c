import { readFile } from "node:fs/promises";
import { command } from "../report-error.ts";

/** Set by the bundler; the source reads its package.json. */
declare const TRIMARAN_VERSION: string | undefined;

/** `trimaran version`. */
export const version = command<{ readonly json: boolean }, []>("version", async (context, { json }) => {
  const { stdout } = context.process;
  const facts = { version: await ownVersion(), node: process.versions.node, arch: process.arch };
  stdout.write(json ? `${JSON.stringify(facts)}\n` : `trimaran ${facts.version} (node ${facts.node}, ${facts.arch})\n`);
  return 0;
});

async function ownVersion(): Promise<string> {
  if (typeof TRIMARAN_VERSION === "string") return TRIMARAN_VERSION;
  const value: unknown = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8"));
  return typeof value === "object" && value !== null && "version" in value ? String(value.version) : "unknown";
}
