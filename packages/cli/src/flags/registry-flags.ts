import { resolve } from "node:path";
import { managerFlags } from "./manager-flags.ts";

/** Flags of what talks to a registry, for stricli. */
export const registryFlags = {
  platform: {
    kind: "parsed",
    parse: String,
    optional: true,
    variadic: true,
    brief: "OS/ARCHITECTURE[/VARIANT] (default: this machine's)",
    placeholder: "P",
  },
  user: {
    kind: "parsed",
    parse: String,
    optional: true,
    brief: "USER[:PASSWORD]; without a password $TRIMARAN_PASSWORD (default: what docker login has left)",
    placeholder: "USER",
  },
  plainHttp: { kind: "boolean", default: false, withNegated: false, brief: "http also where it is not loopback" },
  hostsDir: {
    kind: "parsed",
    parse: (text: string) => resolve(text),
    optional: true,
    brief: "directory of HOST/hosts.toml files (default /etc/containerd/certs.d)",
    placeholder: "DIR",
  },
  quiet: { kind: "boolean", default: false, withNegated: false, brief: "no progress" },
  ...managerFlags,
} as const;

/** One letter each. */
export const registryAliases = { u: "user", q: "quiet" } as const;
