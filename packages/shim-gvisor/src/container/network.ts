import { statSync } from "node:fs";
import type { ProgramBuilder } from "@trimaran/linux";
import type { Layout } from "./layout.ts";

// linux/sched.h, linux/mount.h
const CLONE_NEWNS = 0x20000;
const MS_REC = 0x4000;
const MS_SLAVE = 0x80000;
const HIDDEN = "/proc/sys/net";

/**
 * Steps before `runsc start` that let it set up the sandbox's network on newer kernels (seen on 6.18); undefined where they are not wanted.
 *
 * Before runsc moves the addresses of a network namespace into its own stack, it makes sure that it is not about to disarm the host: it takes a
 * namespace that shows `net/core/rmem_default` for the first one. Such kernels show it in all, so that runsc (both of Debian's, and by
 * whatever started) refuses every network but `none` and `host`. We make that sure ourselves, by the namespace's identity, and hide the
 * file from this one command.
 */
export function hideNetworkMark(layout: Layout, sandboxPid: number): ((builder: ProgramBuilder) => void) | undefined {
  return isHostNetwork(`/proc/${sandboxPid}/ns/net`) ? undefined : hide(layout);
}

/** The same for a command that makes the sandbox, too: in the namespace that the spec names, else in a new one. */
export function hideNetworkMarkForNew(layout: Layout): ((builder: ProgramBuilder) => void) | undefined {
  const { networkNamespace } = layout.spec;
  return networkNamespace !== undefined && isHostNetwork(networkNamespace) ? undefined : hide(layout);
}

function hide({ config }: Layout): ((builder: ProgramBuilder) => void) | undefined {
  if ((config.flags.get("network")?.value ?? "sandbox") !== "sandbox") return undefined;
  return (builder) => {
    builder.field = "network";
    const { data } = builder;
    const none = data.string("none");
    builder.sys("unshare", [CLONE_NEWNS]);
    builder.sys("mount", [none, data.string("/"), 0, MS_REC | MS_SLAVE, 0], { action: "make / rslave" });
    builder.sys("mount", [none, data.string(HIDDEN), data.string("tmpfs"), 0, 0], { action: `hide ${HIDDEN}` });
  };
}

/** Whether a namespace is ours; also where there is none, which runsc will say. By inode: a name may be a bind mount of it. */
function isHostNetwork(path: string): boolean {
  try {
    return statSync(path).ino === statSync("/proc/self/ns/net").ino;
  } catch {
    return true;
  }
}
