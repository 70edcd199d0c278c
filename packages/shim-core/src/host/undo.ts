import {
  appendFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";

/** One thing to take away after everything else has failed. Source: packages/monitor/PROTOCOL.md, section 6. */
export type UndoStep =
  | { readonly verb: "kill-cgroup" | "umount" | "rmdir" | "unlink" | "leave" | "bundle"; readonly path: string }
  | { readonly verb: "kill-pid"; readonly pid: number; readonly startTime: bigint }
  | { readonly verb: "pid"; readonly pid: number };

/** The list in the bundle that `delete` replays, with or without a task server. */
export const UNDO_FILE = "trimaran.undo";

/** Write the list, whole. Called before the first of its things is made. */
export function writeUndo(bundle: string, steps: readonly UndoStep[]): void {
  const path = `${bundle}/${UNDO_FILE}`;
  const temporary = `${path}.new`;
  writeFileSync(temporary, steps.map(toLine).join(""), { mode: 0o600 });
  renameSync(temporary, path);
}

/** Add to the list; a line cut off by a crash is not read. */
export function appendUndo(bundle: string, steps: readonly UndoStep[]): void {
  appendFileSync(`${bundle}/${UNDO_FILE}`, steps.map(toLine).join(""), { mode: 0o600 });
}

/** Read the list back. A line that is not ours, or was cut off by a crash, is left out: the C program is the one that is strict. */
export function readUndo(bundle: string): UndoStep[] {
  let text: string;
  try {
    text = readFileSync(`${bundle}/${UNDO_FILE}`, "utf8");
  } catch {
    return [];
  }
  return text.split("\n").slice(0, -1).flatMap(parseLine);
}

function parseLine(line: string): UndoStep[] {
  const [verb = "", first = "", second = ""] = line.split(" ");
  switch (verb) {
    case "kill-cgroup":
    case "umount":
    case "rmdir":
    case "unlink":
    case "leave":
    case "bundle":
      return [{ verb, path: line.slice(verb.length + 1) }];
    case "kill-pid":
      return [{ verb, pid: Number(first), startTime: BigInt(second || 0) }];
    case "pid":
      return [{ verb, pid: Number(first) }];
    default:
      return [];
  }
}

/**
 * Whether its bundle is still there or not, a container's list is replayed before that of the sandbox it belongs to: with the monitor of a
 * sandbox all its containers are gone, and containerd takes their bundles away without a `delete`. Called after the list was written.
 */
export function linkToSandbox(sandboxBundle: string, id: string, bundle: string): void {
  const folder = memberFolder(sandboxBundle, id);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  linkSync(`${bundle}/${UNDO_FILE}`, `${folder}/${UNDO_FILE}`);
  const others = withoutMember(sandboxBundle, folder);
  writeUndo(sandboxBundle, [{ verb: "bundle", path: folder }, ...others]);
}

/** Nothing of the container is left. */
export function unlinkFromSandbox(sandboxBundle: string, id: string): void {
  const folder = memberFolder(sandboxBundle, id);
  if (!existsSync(folder)) return;
  writeUndo(sandboxBundle, withoutMember(sandboxBundle, folder));
  rmSync(folder, { recursive: true, force: true });
}

function memberFolder(sandboxBundle: string, id: string): string {
  return `${sandboxBundle}/trimaran.members/${id}`;
}

function withoutMember(sandboxBundle: string, folder: string): UndoStep[] {
  return readUndo(sandboxBundle).filter((step) => step.verb !== "bundle" || step.path !== folder);
}

export function removeUndo(bundle: string): void {
  try {
    unlinkSync(`${bundle}/${UNDO_FILE}`); // rmSync takes ten times as long
  } catch {
    // already gone is what was wanted
  }
}

function toLine(step: UndoStep): string {
  switch (step.verb) {
    case "kill-pid":
      return `kill-pid ${step.pid} ${step.startTime}\n`;
    case "pid":
      return `pid ${step.pid}\n`;
    default:
      if (!step.path.startsWith("/") || step.path.includes("\n"))
        throw new TypeError(`undo path ${JSON.stringify(step.path)}`);
      return `${step.verb} ${step.path}\n`;
  }
}
