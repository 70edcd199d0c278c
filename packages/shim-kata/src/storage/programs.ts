import {
  makeShare,
  mountInShare,
  type Program,
  type SharedMounts,
  type ShownDevice,
  showDevice,
  unmountInShare,
} from "@trimaran/linux";
import { dropCapabilities, newProgram } from "@trimaran/shim-core";
import { openWords } from "./last-words.ts";
import type { ShareLayout } from "./layout.ts";
import * as steps from "./steps.ts";

const { listener, namespace } = steps.HELPER_SLOT;
const NAMESPACE = { kind: "slot", index: namespace } as const;

/** The two programs that a share needs. */
export interface ShareBinaries {
  /** `trimaran-fsbridge`. */
  readonly bridge: string;
  /** Debian: /usr/lib/qemu/virtiofsd. */
  readonly virtiofsd: string;
  /** virtiofsd's cache mode. Default: auto. */
  readonly cache?: string;
  /** More arguments for it. */
  readonly extraArgs?: readonly string[];
}

/** What a pod's share is made of. */
export interface SharePlan {
  /** The pod's id: a monitor may have several pods, each with a share. */
  readonly pod: string;
  readonly layout: ShareLayout;
  readonly binaries: ShareBinaries;
  readonly cgroup: steps.HelperCgroup;
  /** Milliseconds that mounting a container's files may take. Default: a minute. */
  readonly mountLimitMs?: number;
}

/** The bridge: makes the pod's mount namespace, holds it, and waits at its gate until the file daemon listens. */
export function bridgeProgram({ layout, binaries, cgroup }: SharePlan): Program {
  const b = newProgram("share");
  openWords(b);
  steps.openListener(b, layout.guestSocket);
  steps.becomeHelper(b, cgroup, [listener]);
  makeShare(b, layout.place);
  steps.arrangeFds(b);
  b.field = "start";
  b.op("GATE", []);
  dropCapabilities(b); // it reads what the guest writes
  steps.execHelper(b, [binaries.bridge, "host", `accept:${steps.LISTENER_FD}`, `connect:${layout.daemonSocket}`]);
  return b.build();
}

/** virtiofsd, in the namespace of the process `holder`. It copies that for itself; what is mounted in the share later arrives there. */
export function daemonProgram({ layout, binaries, cgroup }: SharePlan, holder: number): Program {
  const b = newProgram("share");
  openWords(b);
  steps.openListener(b, layout.daemonSocket);
  steps.openNamespace(b, holder);
  steps.becomeHelper(b, cgroup, [listener, namespace]);
  b.field = "share";
  b.sys("setns", [NAMESPACE, CLONE_NEWNS]);
  steps.arrangeFds(b);
  const { virtiofsd, cache = "auto", extraArgs = [] } = binaries;
  const options = [`source=${layout.place.shared}`, "sandbox=namespace", `cache=${cache}`, "xattr", "log_level=warn"];
  const words = options.flatMap((option) => ["-o", option]);
  steps.execHelper(b, [virtiofsd, "-f", `--fd=${steps.LISTENER_FD}`, ...words, ...extraArgs]);
  return b.build();
}

/** Mount a container's files in the share that the process `holder` holds, and end. */
export function mountProgram({ layout, cgroup }: SharePlan, holder: number, mounts: SharedMounts): Program {
  const b = newProgram("share");
  steps.openNamespace(b, holder);
  steps.becomeHelper(b, cgroup, [namespace]);
  mountInShare(b, layout.place, NAMESPACE, mounts);
  return b.build();
}

/** Take them away again, and end. */
export function unmountProgram({ layout, cgroup }: SharePlan, holder: number, id: string, volumes: number): Program {
  const b = newProgram("share");
  steps.openNamespace(b, holder);
  steps.becomeHelper(b, cgroup, [namespace]);
  unmountInShare(b, layout.place, NAMESPACE, id, volumes);
  return b.build();
}

/** Show QEMU, the process `holder`, a device of the host's, and end. */
export function deviceProgram(
  cgroup: steps.HelperCgroup,
  holder: number,
  device: Omit<ShownDevice, "namespace">,
): Program {
  const b = newProgram("disk");
  steps.openNamespace(b, holder);
  steps.becomeHelper(b, cgroup, [namespace]);
  showDevice(b, { ...device, namespace: NAMESPACE });
  return b.build();
}

// linux/sched.h
const CLONE_NEWNS = 0x20000;
