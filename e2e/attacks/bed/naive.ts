import { shellQuote as q } from "../../harness/process.ts";
import type { Config, MountEntry } from "./config.ts";

/**
 * A container runtime as they were written before the CVEs: it checks nothing, and walks every path in the rootfs by name from the host's root. It is
 * what shows that an attack is one: what succeeds against it must fail against ours. A script for `sh`, to be run in new namespaces.
 */
export function naiveScript(config: Config, rootfs: string): string {
  const { process, linux } = config;
  const { uid, gid } = process.user;
  const inside = `cd ${q(process.cwd)} && exec "$@"`;
  return [
    "set -e",
    "mount --make-rprivate /",
    `R=${q(rootfs)}`,
    'mount --rbind "$R" "$R"',
    ...config.mounts.map(mountStep),
    ...Object.entries({ null: 3, zero: 5 }).map(
      ([name, minor]) => `[ -e "$R/dev/${name}" ] || mknod -m 666 "$R/dev/${name}" c 1 ${minor}`,
    ),
    'rm -f "$R/dev/ptmx"; ln -s pts/ptmx "$R/dev/ptmx"',
    ...(process.terminal ? [': > "$R/dev/console"; mount --bind "$R/dev/pts/0" "$R/dev/console"'] : []),
    `printf '%s\\n' '{}' > "$R/.config.json"`,
    `mkdir -p "$R"${q(process.cwd)}`,
    ...Object.entries(linux.sysctl).map(
      ([key, value]) => `printf %s ${q(value)} > "$R/proc/sys/"${q(key.replaceAll(".", "/"))}`,
    ),
    ...(process.apparmorProfile === undefined
      ? []
      : [`printf %s ${q(`exec ${process.apparmorProfile}`)} > "$R/proc/self/attr/exec"`]),
    ...linux.maskedPaths.map((path) => `[ ! -e "$R"${q(path)} ] || mount --bind "$R/dev/null" "$R"${q(path)}`),
    `exec env -i ${process.env.map(q).join(" ")} /usr/sbin/chroot --userspec=${uid}:${gid} "$R" /bin/sh -c ${q(inside)} sh ${process.args.map(q).join(" ")}`,
  ].join("\n");
}

function mountStep({ destination, type, source, options }: MountEntry): string {
  // `self` is this shell, as it was the runtime itself; of a mount command it would be that.
  const at = `"$R"${q(destination)}`.replace("/self/", () => "/'$$'/");
  if (type === "bind") {
    const file = `{ mkdir -p "$(dirname ${at})"; [ -e ${at} ] || : > ${at}; }`;
    return `if [ -d ${q(source)} ]; then mkdir -p ${at}; else ${file}; fi; mount --rbind ${q(source)} ${at}`;
  }
  if (!options.includes("tmpcopyup")) return `mkdir -p ${at}; mount -t ${type} ${type} ${at}`;
  const copy = '"$R/../copy"';
  return `mkdir -p ${at} ${copy}; cp -a ${at}/. ${copy}/ || true; mount --rbind ${copy} ${at}`;
}
