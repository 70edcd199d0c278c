/** The command is quick or waits: 2 MB for what is young instead of 32 make an idle daemon 10 MB smaller and cost nothing measurable. */
const COMMAND_FLAGS = "--max-semi-space-size=2";
/**
 * A daemon's calls are few and far between: most functions would stay with the interpreter for hours. Compiling them at once saves a
 * third of the daemon's CPU per `run`; a short command would only pay for it.
 */
const DAEMON_FLAGS = "--always-sparkplug";

/** The shell script that is bin/trimaran: `node` runs `program`; `trimaran oci` is `oci`, a program of its own. All are absolute paths. */
export function launcherText(node: string, program: string, oci: string): string {
  return `#!/bin/sh
[ "\${1-}" = oci ] && shift && exec ${quote(oci)} "$@"
daemon=
[ "\${1-}" != daemon ] || daemon=${DAEMON_FLAGS}
exec ${quote(node)} ${COMMAND_FLAGS} $daemon ${quote(program)} "$@"
`;
}

/** The shell script that is bin/trimaran-oci, which engines call by its path. */
export function ociLauncherText(node: string, program: string): string {
  return `#!/bin/sh\nexec ${quote(node)} ${quote(program)} "$@"\n`;
}

function quote(path: string): string {
  return `'${path.replaceAll("'", "'\\''")}'`;
}
