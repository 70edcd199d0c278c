import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A shim that is a shell script: `start` and `delete` are the commands to run for those actions. */
export function writeFakeShim(
  directory: string,
  actions: { readonly start?: string; readonly delete?: string },
): string {
  const path = join(directory, "containerd-shim-fake-v1");
  const script = `#!/bin/sh
for last; do :; done
case $last in
start) ${actions.start ?? "exit 1"} ;;
delete) ${actions.delete ?? "exit 1"} ;;
esac
`;
  writeFileSync(path, script);
  chmodSync(path, 0o755);
  return path;
}
