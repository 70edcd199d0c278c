/** Run a command under a child subreaper: node tools/subreap.ts COMMAND [ARG…]. What starts containers leaves no orphan to PID 1. */
import { once } from "node:events";
import { spawnUnderSubreaper } from "../e2e/harness/subreaper.ts";

const child = await spawnUnderSubreaper(process.argv.slice(2));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
const [code] = await once(child, "exit");
process.exitCode = typeof code === "number" ? code : 1;
