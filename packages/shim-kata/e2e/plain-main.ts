import { join } from "node:path";
import { runShim } from "@trimaran/shim-core";
import { KataRuntime } from "../src/runtime.ts";
import { PlainGuests } from "./plain-guest.ts";

const { argv, env, pid, exit, execPath } = process;
const libraryDirectory = import.meta.dirname;
const guests = new PlainGuests({
  node: execPath,
  library: join(libraryDirectory, "guest"),
  run: join(env.TRIMARAN_STATE ?? "/run/trimaran", "../g"),
});
runShim(new KataRuntime(guests), { argv, env, pid, exit: (code) => exit(code), libraryDirectory });
