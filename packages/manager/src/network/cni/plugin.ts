import { spawn } from "node:child_process";
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { join } from "node:path";
import { Code, ManagerError } from "../../errors/manager-error.ts";
import { type CniObject, parseCniObject } from "./cni-json.ts";

/** What a plugin is asked to do. Source: CNI specification 1.0, section 2. */
export type CniCommand = "ADD" | "DEL" | "CHECK";

/** The interface that a command is about. */
export interface CniTarget {
  /** Names the container to the plugins, on the whole machine: begins with a letter or digit, no slash. */
  readonly containerId: string;
  /** Path of the network namespace; empty for one that is gone, to DEL. */
  readonly netns: string;
  /** Name of the interface in the container. */
  readonly ifName: string;
}

/** How plugins are found and run. */
export interface CniHost {
  /** Where plugins are looked for, in this order. */
  readonly pluginDirectories: readonly string[];
  /** Given to plugins, with the CNI variables added. */
  readonly environment: NodeJS.ProcessEnv;
  readonly timeoutMs: number;
}

/** A plugin has refused; its own words. `cniCode` is the plugin's, 1 to 99 are the specification's. */
export class CniError extends ManagerError {
  readonly cniCode: number | undefined;

  constructor(message: string, cniCode: number | undefined, hint?: string) {
    super(Code.Unknown, message, hint === undefined ? {} : { hint });
    this.cniCode = cniCode;
  }
}

const OUTPUT_LIMIT_BYTES = 1 << 20;

/** Run one plugin; its answer, or an empty object where it says nothing. Throws NotFound, CniError, DeadlineExceeded. */
export async function runPlugin(
  host: CniHost,
  type: string,
  command: CniCommand,
  target: CniTarget,
  config: CniObject,
): Promise<CniObject> {
  const path = await findPlugin(host, type);
  const { status, stdout, stderr } = await run(host, path, command, target, config);
  const what = `network plugin ${type} (${command})`;
  if (status === 0) return stdout.trim() === "" ? {} : parseCniObject(stdout, what);
  throw toCniError(what, stdout, stderr);
}

async function findPlugin({ pluginDirectories }: CniHost, type: string): Promise<string> {
  for (const directory of pluginDirectories) {
    const path = join(directory, type);
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  throw new ManagerError(Code.NotFound, `network plugin ${type}: not in ${pluginDirectories.join(", ")}`, {
    hint: "apt-get install containernetworking-plugins iptables",
  });
}

interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(
  host: CniHost,
  path: string,
  command: CniCommand,
  { containerId, netns, ifName }: CniTarget,
  config: CniObject,
): Promise<Finished> {
  const environment = {
    ...host.environment,
    CNI_COMMAND: command,
    CNI_CONTAINERID: containerId,
    CNI_NETNS: netns,
    CNI_IFNAME: ifName,
    CNI_PATH: host.pluginDirectories.join(":"),
  };
  const child = spawn(path, { env: environment, stdio: ["pipe", "pipe", "pipe"] });
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    child.kill("SIGKILL");
  }, host.timeoutMs);
  try {
    child.stdin.on("error", () => {}).end(JSON.stringify(config)); // one that does not read says why by its exit
    const ended = new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    const [status, stdout, stderr] = await Promise.all([ended, textOf(child.stdout), textOf(child.stderr)]);
    if (isLate) {
      throw new ManagerError(
        Code.DeadlineExceeded,
        `network plugin ${path} (${command}): no answer in ${host.timeoutMs} ms`,
      );
    }
    return { status, stdout, stderr };
  } finally {
    clearTimeout(timer);
  }
}

async function textOf(stream: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let total = 0;
  for await (const chunk of stream) {
    total += chunk.length;
    if (total <= OUTPUT_LIMIT_BYTES) chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** The plugin's error object, or what else it has said. */
function toCniError(what: string, stdout: string, stderr: string): CniError {
  let answer: CniObject = {};
  try {
    answer = parseCniObject(stdout, what);
  } catch {
    // not an error object: its words are all there is
  }
  const { code, msg, details } = answer;
  const said = [msg, details].filter((part) => typeof part === "string" && part !== "").join(": ");
  const text = said || stderr.trim() || stdout.trim() || "it failed and did not say why";
  const needsIptables = /iptables/.test(text) && /not found|no such file/i.test(text);
  return new CniError(
    `${what}: ${text}`,
    typeof code === "number" ? code : undefined,
    needsIptables ? "apt-get install iptables" : undefined,
  );
}
