import { globSync, readdirSync, statSync } from "node:fs";
import { basename, extname, join } from "node:path";
import { runProgram } from "../run-program.ts";
import { imageFailure } from "./failure.ts";

/** Where the parts of the image come from, on the host. */
export interface GuestSources {
  /** The Node binary. */
  readonly node: string;
  /** What the project's build has for the guest: `init`, `agent.cjs`, `monitor`, … All but init goes to /usr/lib/trimaran. */
  readonly directory: string;
  /** A static busybox. */
  readonly busybox: string;
  /** Shared libraries that the agent loads by name. Default: libseccomp. */
  readonly loaded?: readonly string[];
}

/** The engine compiles seccomp profiles with it. The path is where the loader looks. */
const LIBSECCOMP = "/lib/x86_64-linux-gnu/libseccomp.so.2";

/** A file of the guest's read-only root, and why it is there. */
export interface GuestFile {
  /** Absolute, in the guest. */
  readonly target: string;
  readonly source: string;
  readonly mode: number;
  readonly reason: string;
  /** Leave out symbols and debug information. */
  readonly strip?: boolean;
}

/** Where the build's files are in the guest. */
export const GUEST_LIBRARY = "/usr/lib/trimaran";
/** Node in the guest. */
export const GUEST_NODE = "/usr/bin/node";

/** Why a file of the build's directory is in the image; other files there belong to one of these. */
const REASONS: Readonly<Record<string, string>> = {
  "agent.cjs": "the agent: shim-runc's engine behind agent.0",
  monitor: "runs the containers' launch programs",
  "trimaran-fsbridge": "moves file-system requests between the kernel and fs.0",
  node_modules: "koffi: system calls for the agent",
};

/** Directories that are mount points, or that programs expect. */
export const GUEST_DIRECTORIES = ["bin", "dev", "etc", "etc/trimaran", "proc", "root", "run", "sys", "tmp"] as const;

/** Links of the guest's root: path to target. */
export const GUEST_LINKS = { "bin/sh": "busybox" } as const;

/** Small files that are not copies: path to text. */
export const GUEST_TEXTS: Readonly<Record<string, { readonly text: string; readonly reason: string }>> = {
  "/etc/trimaran/agent.cmd": {
    // Functions run seldom, for weeks; the young generation is in every clone's private memory. Compiled code would be, too, and an
    // emulator has to translate it anew in each clone: the interpreter is the same few hundred kB for all functions.
    text: `${[GUEST_NODE, "--jitless", "--no-flush-bytecode", "--max-semi-space-size=1", `${GUEST_LIBRARY}/agent.cjs`].join("\n")}\n`,
    reason: "the agent's command line, for init",
  },
  "/etc/hostname": { text: "", reason: "the agent mounts the pod's own over it" },
  "/etc/machine-id": { text: "", reason: "the agent mounts the clone's own over it" },
};

/** List all copies, in the order of their paths. Throws FailedPrecondition naming a source that is missing. */
export async function listContents(sources: GuestSources): Promise<GuestFile[]> {
  const built = readBuilt(sources.directory);
  const files: GuestFile[] = [
    { target: GUEST_NODE, source: sources.node, mode: 0o755, reason: "runs the agent", strip: true },
    { target: "/bin/busybox", source: sources.busybox, mode: 0o755, reason: "the shell of trimaran kata debug" },
    ...(sources.loaded ?? [LIBSECCOMP]).map((path) => {
      return { target: path, source: path, mode: 0o755, reason: "the agent loads it by name" };
    }),
    ...built,
  ];
  for (const { source } of files)
    if (!statSync(source, { throwIfNoEntry: false })?.isFile())
      throw imageFailure(source, "there is no such file", hint(source));
  const dynamic = files.filter(({ source }) => source === sources.node || /\.(node|so\.\d+)$/.test(source));
  files.push(...(await libraries(dynamic.map(({ source }) => source))));
  return files.sort((a, b) => (a.target < b.target ? -1 : 1));
}

/** Paths of the build's files, relative to its directory; what a fresh image must have been made of. */
export function listBuilt(directory: string): string[] {
  return globSync("**/*", { cwd: directory, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
    .sort();
}

function readBuilt(directory: string): GuestFile[] {
  for (const name of ["init", "agent.cjs"])
    if (!readdirOrEmpty(directory).includes(name))
      throw imageFailure(join(directory, name), "there is no such file", hint(directory));
  return listBuilt(directory).flatMap((path) => {
    const [top = ""] = path.split("/");
    if (top === "init") return [];
    const source = join(directory, path);
    const mode = extname(path) === "" ? 0o755 : 0o644; // not the file's own: an installation does not keep it
    return [
      { target: `${GUEST_LIBRARY}/${path}`, source, mode, reason: REASONS[top] ?? "a part of the agent's build" },
    ];
  });
}

/** The shared libraries of `programs`, and the loader: what ldd(1) says, and nothing else. */
async function libraries(programs: readonly string[]): Promise<GuestFile[]> {
  const found = new Map<string, GuestFile>();
  for (const program of programs) {
    const text = await runProgram(["ldd", program], { hint: "apt-get install libc-bin" });
    const missing = /^\s*(\S+) => not found/m.exec(text)?.[1];
    if (missing !== undefined)
      throw imageFailure(program, `its library ${missing} is not on this machine`, "install it");
    for (const [, path = ""] of text.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm))
      found.set(path, { target: path, source: path, mode: 0o755, reason: `${basename(program)} is linked with it` });
  }
  return [...found.values()];
}

function readdirOrEmpty(directory: string): string[] {
  return statSync(directory, { throwIfNoEntry: false }) ? readdirSync(directory) : [];
}

function hint(source: string): string {
  if (source.endsWith("libseccomp.so.2")) return "apt-get install libseccomp2";
  return source.endsWith("busybox") ? "apt-get install busybox-static" : "npm run build";
}
