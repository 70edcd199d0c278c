import ownPackage from "../../package.json" with { type: "json" };
import { command } from "../report-error.ts";

/** `trimaran version`. */
export const version = command<{ readonly json: boolean }, []>("version", async (context, { json }) => {
  const facts = { version: ownPackage.version, node: process.versions.node, arch: process.arch };
  const text = `trimaran ${facts.version} (node ${facts.node}, ${facts.arch})`;
  context.process.stdout.write(`${json ? JSON.stringify(facts) : text}\n`);
  return 0;
});
