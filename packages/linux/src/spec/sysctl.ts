import { InvalidSpec } from "./invalid-spec.ts";
import type { Namespace, NamespaceKind } from "./linux.ts";
import { IPC_SYSCTLS } from "./tables.ts";

/** One sysctl: the file below /proc/sys ("net/ipv4/ip_forward"), the name as configured, and what to write. */
export interface Sysctl {
  readonly name: string;
  readonly file: string;
  readonly value: string;
  /** The namespace that it belongs to. */
  readonly kind: NamespaceKind;
}

/**
 * `linux.sysctl`, each checked to belong to a namespace of the container's own: a value for the host is an error.
 * The first separator decides the form: in `net/ipv4/conf/eno2.100/x` the dot belongs to a name.
 * Throws InvalidSpec. Source: runtime checklist 1.9.
 */
export function parseSysctls(
  given: ReadonlyMap<string, string>,
  namespaces: ReadonlyMap<NamespaceKind, Namespace>,
): readonly Sysctl[] {
  return [...given].map(([name, value]) => {
    const field = "linux.sysctl";
    const file = toFile(name);
    const parts = file.split("/");
    if (parts.some((part) => part === "" || part === "." || part === ".."))
      throw new InvalidSpec(field, "not a name", name);
    const kind = owner(file);
    if (kind === undefined) throw new InvalidSpec(field, "not of a namespace", name);
    if (!namespaces.has(kind)) throw new InvalidSpec(field, `needs a ${kind} namespace of its own`, name);
    if (/[\n\0]/.test(value)) throw new InvalidSpec(`${field}[${JSON.stringify(name)}]`, "has a newline", value);
    return { name, file, value, kind };
  });
}

function toFile(name: string): string {
  const first = /[./]/.exec(name)?.[0];
  if (first !== ".") return name;
  return name.replace(/[./]/g, (separator) => (separator === "." ? "/" : "."));
}

function owner(file: string): NamespaceKind | undefined {
  if (IPC_SYSCTLS.has(file) || file.startsWith("fs/mqueue/")) return "ipc";
  if (file.startsWith("net/")) return "network";
  if (file === "kernel/domainname") return "uts";
  if (file.startsWith("user/")) return "user";
  return undefined;
}
