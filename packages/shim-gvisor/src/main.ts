import { runShim } from "@trimaran/shim-core";
import { GvisorRuntime } from "./runtime.ts";

runShim(new GvisorRuntime({ path: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin" }), {
  argv: process.argv,
  env: process.env,
  pid: process.pid,
  exit: (code) => process.exit(code),
  libraryDirectory: import.meta.dirname,
});
