import { Code, StatusError } from "ttrpc-ts";
import { IGNORED, type KeyPath } from "./keys.ts";
import { isKey, parseText, type Setting, type Settings, suggestion } from "./settings.ts";

const PREFIX = "io.katacontainers.config.";
/** Kata's annotations leave out which hypervisor and which agent. */
const TABLES = { hypervisor: "hypervisor.qemu", agent: "agent.kata", runtime: "runtime" } as const;
/** Whatever enable_annotations says: a pod's author must not choose what runs as root on the host. */
const NEVER: ReadonlySet<string> = new Set<KeyPath>([
  "hypervisor.qemu.path",
  "hypervisor.qemu.accelerator",
  "hypervisor.qemu.kernel",
  "hypervisor.qemu.initrd",
  "hypervisor.qemu.image",
  "hypervisor.qemu.virtio_fs_daemon",
  "hypervisor.qemu.virtio_fs_extra_args",
  "hypervisor.qemu.enable_annotations",
]);

/**
 * What a pod's annotations `io.katacontainers.config.TABLE.KEY` set. Others are not looked at. Throws InvalidArgument naming the annotation
 * that is unknown, may not be set (`enabled`: regular expressions), or has no value of its type.
 */
export function parseAnnotations(annotations: Readonly<Record<string, string>>, enabled: readonly string[]): Settings {
  const settings = new Map<KeyPath, Setting>();
  for (const [name, text] of Object.entries(annotations)) {
    if (!name.startsWith(PREFIX)) continue;
    const path = toPath(name);
    if (Object.hasOwn(IGNORED, path)) continue; // as in the file
    const source = `annotation ${name}`;
    if (!isKey(path)) throw invalid(`${source}: is unknown${suggestion(path)}`);
    if (!isEnabled(path, enabled))
      throw invalid(`${source}: may not be set; hypervisor.qemu.enable_annotations does not name it`);
    settings.set(path, { value: parseText(source, path, text), source });
  }
  return settings;
}

function toPath(name: string): string {
  const [table = "", ...rest] = name.slice(PREFIX.length).split(".");
  const known = Object.hasOwn(TABLES, table) ? TABLES[table as keyof typeof TABLES] : table;
  return [known, ...rest].join(".");
}

function isEnabled(path: KeyPath, enabled: readonly string[]): boolean {
  if (NEVER.has(path)) return false;
  const hypervisor = `${TABLES.hypervisor}.`;
  if (!path.startsWith(hypervisor)) return true; // as in Kata: the list is about the hypervisor's keys
  return enabled.some((pattern) => new RegExp(`^(?:${pattern})$`).test(path.slice(hypervisor.length)));
}

function invalid(message: string): StatusError {
  return new StatusError(Code.InvalidArgument, message);
}
