import { type ListFlags, writeList } from "../format/write-list.ts";
import { command } from "../report-error.ts";
import { findOrphans, type Orphaned, type Shim } from "../shims/orphans.ts";
import { runShimProgram } from "../shims/shim-program.ts";

export interface ShimsFlags extends ListFlags {
  /** Only those whose engine or container is gone. */
  readonly orphans: boolean;
}

/** `trimaran shims`: each pod's shim of ours on this machine, whatever engine has started it. */
export const shims = command<ShimsFlags, []>("shims", async (context, flags) => {
  const all = await runShimProgram<Shim>(context, ["ls"]);
  const orphaned = await findOrphans(all, (address, namespace) => context.openClient({ address, namespace }, "read"));
  const shown = flags.orphans ? all.filter((shim) => orphaned.get(shim) !== undefined) : all;
  writeList(context, flags, shown, {
    head: ["PID", "RUNTIME", "NAMESPACE", "CONTAINER", "ENGINE", "VERSION", "ORPHAN"],
    row: (shim) => [
      String(shim.pid),
      runtimeOf(shim),
      shim.namespace,
      shim.id,
      shim.address,
      shim.version || "-",
      orphaned.get(shim) ?? "-",
    ],
    name: ({ pid }) => String(pid),
    json: (shim) => toJson(shim, orphaned.get(shim)),
    empty: flags.orphans ? undefined : "no shim of ours runs here",
  });
  return 0;
});

/** Keys that are always there, and `orphan` for an orphan. */
function toJson(shim: Shim, orphan: Orphaned | undefined) {
  const { pid, address: engine, namespace, id: container, bundle, socket, version } = shim;
  return { pid, runtime: runtimeOf(shim), engine, namespace, container, bundle, socket, version, orphan };
}

/** containerd's name of it: of containerd-shim-NAME-VERSION it is io.containerd.NAME.VERSION. */
function runtimeOf({ shim }: Shim): string {
  return shim.replace(/^containerd-shim-(.*)-(v\d+)$/, "io.containerd.$1.$2");
}
