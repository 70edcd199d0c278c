import { existsSync, lstatSync, readlinkSync } from "node:fs";
import { dirname } from "node:path";
import type { OwnRoot } from "@trimaran/linux";
import type { VmPlan } from "../qemu/plan.ts";

/** Where distributions keep programs, libraries and firmware; no configuration, no state, no socket is in there. */
const SYSTEM = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store", "/gnu/store"];
const DEVICES = ["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/dev/kvm", "/dev/net/tun"];

/**
 * All that a QEMU sees of the host: whoever breaks out of a guest finds the system's programs to read, the machine's own folder to write, and nobody's
 * sockets. A QEMU that is elsewhere brings the folder that its `bin` is in.
 */
export function qemuRoot({ argv, files }: Pick<VmPlan, "argv" | "files">): OwnRoot {
  const system = SYSTEM.filter((path) => existsSync(path));
  const isLink = (path: string) => lstatSync(path).isSymbolicLink();
  const plain = system.filter((path) => !isLink(path));
  const isShown = (path: string) => plain.some((each) => path.startsWith(`${each}/`));
  const [program = ""] = argv;
  const own =
    isShown(program) || system.some((each) => isLink(each) && dirname(program) === each) ? [] : [homeOf(program)];
  return {
    readOnly: [...plain, ...own, ...files.readOnly.filter((path) => !isShown(path))],
    writable: files.writable,
    devices: DEVICES.filter((path) => existsSync(path)),
    links: system.filter(isLink).map((path) => ({ path, target: readlinkSync(path) })),
  };
}

/** `/x` of `/x/bin/qemu`, the program alone where that would be all of the host. */
function homeOf(program: string): string {
  const home = dirname(dirname(program));
  return home === "/" ? program : home;
}
