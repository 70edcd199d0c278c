import { Code, ManagerError } from "../errors/manager-error.ts";
import { allCapabilities, changedCapabilities, parseCapability } from "./capabilities.ts";
import type { ContainerOptions, ImageDefaults, UserLookup } from "./container-options.ts";
import { defaultSpec, type SpecHost } from "./default-spec.ts";
import type { OciResources, OciSpec } from "./oci-spec.ts";

const CPU_PERIOD_US = 100_000;

export interface SpecRequest {
  readonly namespace: string;
  readonly id: string;
  /** The command as typed; empty means the image's. */
  readonly args: readonly string[];
  readonly options: ContainerOptions;
  readonly image: ImageDefaults;
  readonly lookupUser: UserLookup;
  readonly host: SpecHost & { readonly lastCap: number };
}

/** The spec of a new container. Throws InvalidArgument for what cannot be done, and names the option. */
export async function buildSpec(request: SpecRequest): Promise<OciSpec> {
  const { options, image, host } = request;
  const spec = defaultSpec(request.namespace, request.id, host);
  const { process } = spec;
  process.terminal = options.terminal ?? false;
  process.args = commandLine(request.args, image);
  process.env = mergeEnv(process.env, image.env, process.terminal ? ["TERM=xterm"] : [], options.env ?? []);
  process.cwd = parseCwd(options.cwd ?? (image.workingDir || "/"));
  process.user = await request.lookupUser(options.user ?? image.user);
  spec.root.readonly = options.readOnly ?? false;
  if (options.privileged) makePrivileged(spec, host.lastCap);
  applyCapabilities(spec, options, host.lastCap);
  if (options.hostNetwork) useHostNetwork(spec);
  if (options.hostname !== undefined) spec.hostname = options.hostname;
  spec.mounts.push(...(options.mounts ?? []));
  applyLimits(spec.linux.resources, options);
  return spec;
}

/** Later lists win, key by key; the order of first appearance stays. */
export function mergeEnv(...lists: readonly (readonly string[])[]): string[] {
  const merged = new Map<string, string>();
  for (const entry of lists.flat()) merged.set(entry.split("=", 1)[0] ?? entry, entry);
  return [...merged.values()];
}

/** A typed command replaces the image's Cmd but not its Entrypoint, as with docker. */
function commandLine(typed: readonly string[], image: ImageDefaults): string[] {
  const args = [...image.entrypoint, ...(typed.length > 0 ? typed : image.cmd)];
  if (args.length === 0) {
    throw new ManagerError(Code.InvalidArgument, "process.args: no command given and the image has none", {
      hint: "trimaran run IMAGE COMMAND",
    });
  }
  return args;
}

function parseCwd(cwd: string): string {
  if (cwd.startsWith("/")) return cwd;
  throw new ManagerError(Code.InvalidArgument, `process.cwd ${JSON.stringify(cwd)}: not an absolute path`);
}

function applyCapabilities(spec: OciSpec, options: ContainerOptions, lastCap: number): void {
  const all = allCapabilities(lastCap);
  const parse = (field: string, names: readonly string[] = []) =>
    names.flatMap((name) => (name.toUpperCase() === "ALL" ? all : [parseCapability(field, name)]));
  const [add, drop] = [parse("--cap-add", options.capAdd), parse("--cap-drop", options.capDrop)];
  const dropsAll = options.capDrop?.some((name) => name.toUpperCase() === "ALL") ?? false;
  const { process } = spec;
  // `--cap-drop ALL --cap-add X` means just X, so an addition survives ALL but not its own name.
  const kept = dropsAll ? drop.filter((name) => !add.includes(name)) : drop;
  process.capabilities = changedCapabilities(process.capabilities, add, new Set(kept));
}

/** As `ctr run --privileged`: all capabilities and devices, nothing masked, sysfs and cgroups writable. */
function makePrivileged(spec: OciSpec, lastCap: number): void {
  const all = () => allCapabilities(lastCap);
  spec.process.capabilities = { bounding: all(), effective: all(), permitted: all() };
  spec.process.noNewPrivileges = false;
  spec.linux.maskedPaths = [];
  spec.linux.readonlyPaths = [];
  spec.linux.resources.devices = [{ allow: true, access: "rwm" }];
  for (const mount of spec.mounts) {
    if (mount.type === "sysfs") mount.options = mount.options.map((option) => (option === "ro" ? "rw" : option));
  }
}

/** No network namespace, and the host's names: what `ctr run --net-host` does. */
function useHostNetwork(spec: OciSpec): void {
  spec.linux.namespaces = spec.linux.namespaces.filter(({ type }) => type !== "network");
  for (const path of ["/etc/hosts", "/etc/resolv.conf"]) {
    spec.mounts.push({ destination: path, type: "bind", source: path, options: ["rbind", "ro"] });
  }
}

function applyLimits(resources: OciResources, options: ContainerOptions): void {
  if (options.memoryLimitBytes !== undefined) resources.memory = { limit: options.memoryLimitBytes };
  if (options.pidsLimit !== undefined) resources.pids = { limit: options.pidsLimit };
  if (options.cpus !== undefined) {
    resources.cpu = { quota: Math.round(options.cpus * CPU_PERIOD_US), period: CPU_PERIOD_US };
  }
}
