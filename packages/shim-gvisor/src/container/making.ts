import type { Cgroup } from "@trimaran/linux";
import type { Host } from "@trimaran/shim-core";
import type { Machine } from "../machine.ts";
import type { Runsc } from "../runsc/runsc.ts";
import type { Layout } from "./layout.ts";

/** What the making of a container, and its unmaking, work with. */
export interface Making {
  readonly layout: Layout;
  readonly host: Host;
  readonly machine: Machine;
  readonly runsc: Runsc;
  readonly cgroup: Cgroup;
}
