import { runShim } from "@trimaran/shim-core";
import { RuncRuntime } from "./runtime.ts";

runShim(new RuncRuntime({ path: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin" }), {
  argv: process.argv,
  env: process.env,
  pid: process.pid,
  exit: (code) => process.exit(code),
  libraryDirectory: import.meta.dirname,
});
