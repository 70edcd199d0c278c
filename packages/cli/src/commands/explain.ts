import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import {
  type ClientContainer,
  ClientTask,
  Code,
  createContainer,
  errnoOf,
  execProcess,
  findContainer,
  hasCode,
  listContainers,
  type ManagerClient,
  ManagerError,
  removeRecord,
  type ShimInput,
  shimInput,
} from "@trimaran/manager";
import { containerLayers } from "@trimaran/manager/changes";
import { type CliContext, DEFAULT_RUNTIME, type ManagerFlags } from "../cli-context.ts";
import type { RunFlags } from "../flags/run-flags.ts";
import { command } from "../report-error.ts";
import { runShimProgram } from "../shim-program.ts";
import { toCreateRequest } from "./container-request.ts";

/** What of `run` changes the program. */
type SpecFlags = Pick<
  RunFlags,
  | "tty"
  | "env"
  | "mount"
  | "memory"
  | "cpus"
  | "pidsLimit"
  | "user"
  | "cwd"
  | "hostname"
  | "net"
  | "netHost"
  | "readOnly"
  | "rootfsRw"
  | "privileged"
  | "capAdd"
  | "capDrop"
>;

export interface ExplainFlags extends ManagerFlags, SpecFlags {
  readonly json: boolean;
  readonly launch: boolean;
  readonly against?: string;
}

/** What is asked of shim-runc's program: the ExplainRequest of packages/shim-runc/src/command/request.ts. */
type ProgramTarget = ShimInput & {
  readonly name: string;
  readonly exec?: { readonly process: unknown; readonly pid: number };
};

/** `trimaran explain`. A running container without a command is looked at; of everything else it is the program that is shown. */
export const explain = command<ExplainFlags, string[]>("explain", async (context, flags, [name = "", ...args]) => {
  await using client = await context.openClient(flags, "write");
  const container = (await bundleConfig(name)) === undefined ? await tryFind(client, name) : undefined;
  const pid = container === undefined ? undefined : await livePid(client, container.id);
  const isPage = pid !== undefined && args.length === 0 && !flags.launch && flags.against === undefined;
  const request =
    container !== undefined && isPage
      ? { kind: "container", json: flags.json, target: await containerPage(client, container, pid) }
      : {
          kind: "program",
          json: flags.json,
          target: await programTarget(context, client, flags, name, args),
          ...(flags.against !== undefined && {
            against: await programTarget(context, client, flags, flags.against, container ? [] : args, "start"),
          }),
        };
  return (await runShimProgram(context, "trimaran-runc.js", ["explain"], { input: JSON.stringify(request) })).code;
});

/** A bundle, a container (with a command: one more process in it), or whatever `run` takes. */
async function programTarget(
  context: CliContext,
  client: ManagerClient,
  flags: ExplainFlags,
  name: string,
  args: readonly string[],
  only?: "start",
): Promise<ProgramTarget> {
  const config = await bundleConfig(name);
  if (config !== undefined) {
    const bundle = resolve(name);
    return { name, id: bundle.split("/").at(-1) || "bundle", bundle, config: JSON.parse(config), rootfs: [] };
  }
  const container = await tryFind(client, name);
  if (container === undefined) return { name, ...(await wouldBe(context, client, flags, name, args)) };
  const input = { name: container.id, ...(await shimInput(client, container)) };
  if (args.length === 0 || only === "start") return input;
  const pid = await livePid(client, container.id);
  if (pid === undefined) throw notRunning(container.id);
  const { user, cwd } = flags;
  const process = await execProcess(client, container, { args, terminal: flags.tty, env: flags.env ?? [], cwd, user });
  return { ...input, exec: { process, pid } };
}

/** Put a container on record as `run` would, ask what its shim would get, and take it off again. Nothing is started. */
async function wouldBe(
  { environment }: CliContext,
  client: ManagerClient,
  flags: ExplainFlags,
  source: string,
  args: readonly string[],
): Promise<ShimInput> {
  const rest = { runtime: DEFAULT_RUNTIME, rm: false, detach: false, interactive: false, trace: false };
  const container = await createContainer(client, toCreateRequest({ ...flags, ...rest }, environment, source, args));
  try {
    return await shimInput(client, container);
  } finally {
    await removeRecord(client, container);
  }
}

async function containerPage(client: ManagerClient, container: ClientContainer, pid: number) {
  const { id, runtime, image, record } = container;
  const running = await listContainers(client);
  const config = (await shimInput(client, container).catch(() => undefined))?.config;
  const { annotations = {} } = (config ?? {}) as { annotations?: Record<string, string> };
  return {
    ...{ id, runtime, image, pid },
    sandbox: annotations["io.kubernetes.cri.sandbox-id"] ?? record.sandbox,
    layers: (await containerLayers(client, container)).map(({ directory, sizeBytes }) => ({ directory, sizeBytes })),
    others: running.flatMap((each) => (each.pid === undefined ? [] : [{ name: each.container.id, pid: each.pid }])),
  };
}

/** config.json, if the name is a directory with one. */
async function bundleConfig(name: string): Promise<string | undefined> {
  try {
    return await readFile(join(name, "config.json"), "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
}

async function tryFind(client: ManagerClient, name: string): Promise<ClientContainer | undefined> {
  try {
    return await findContainer(client, name);
  } catch (error) {
    if (hasCode(error, Code.NotFound) || hasCode(error, Code.InvalidArgument)) return undefined; // an image's name then
    throw error;
  }
}

async function livePid(client: ManagerClient, id: string): Promise<number | undefined> {
  const status = await new ClientTask(client, id).status();
  return status === undefined || status.exit !== undefined || status.pid === 0 ? undefined : status.pid;
}

function notRunning(id: string): ManagerError {
  const hint = `trimaran explain ${id}`;
  return new ManagerError(Code.FailedPrecondition, `container ${JSON.stringify(id)}: it does not run`, { hint });
}
