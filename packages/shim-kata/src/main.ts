import { runShim } from "@trimaran/shim-core";
import { MachineGuests } from "./machine/machine-guests.ts";
import { KataRuntime } from "./runtime.ts";

const { argv, env, pid, exit, execPath } = process;
const libraryDirectory = import.meta.dirname;
const guests = new MachineGuests({
  libraryDirectory,
  node: execPath,
  searchPath: env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin",
  stateDirectory: env.TRIMARAN_STATE ?? "/run/trimaran",
});
runShim(new KataRuntime(guests), { argv, env, pid, exit: (code) => exit(code), libraryDirectory });
