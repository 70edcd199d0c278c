/** Upstream's runtime: a scenario must pass with it first. */
export const CONTROL = "io.containerd.runc.v2";
/** Ours. */
export const TRIMARAN = "io.containerd.trimaran-runc.v2";
/** Ours over runsc. Runs in files that name it, and in any file by E2E_RUNTIMES=gvisor: not all that holds for Linux holds for it. */
export const GVISOR = "io.containerd.trimaran-gvisor.v2";
/** Ours in machines. Runs like that over runsc, by E2E_RUNTIMES=kata. */
export const KATA = "io.containerd.trimaran-kata.v2";
