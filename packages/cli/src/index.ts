export type { CliContext, ManagerFlags, SignalSource } from "./cli-context.ts";
export { runCli } from "./run-cli.ts";
