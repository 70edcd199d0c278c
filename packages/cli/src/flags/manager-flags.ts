import { resolve } from "node:path";

/** The flags of `ManagerFlags`, for stricli. */
export const managerFlags = {
  root: {
    kind: "parsed",
    parse: (text: string) => resolve(text),
    brief: "images, containers, logs (default /var/lib/trimaran, or $TRIMARAN_ROOT)",
    placeholder: "DIR",
    optional: true,
  },
  state: {
    kind: "parsed",
    parse: (text: string) => resolve(text),
    brief: "bundles and sockets (default /run/trimaran/manager, or $TRIMARAN_MANAGER_STATE)",
    placeholder: "DIR",
    optional: true,
  },
  address: {
    kind: "parsed",
    parse: (text: string) => resolve(text),
    brief: "a daemon's socket (default: one in the state directory, if a daemon listens there; or $TRIMARAN_ADDRESS)",
    placeholder: "SOCKET",
    optional: true,
  },
  namespace: {
    kind: "parsed",
    parse: String,
    brief: 'which containers to look at (default "default")',
    placeholder: "NAME",
    optional: true,
  },
  debug: { kind: "boolean", brief: "start shims with -debug", optional: true, withNegated: false },
} as const;
