import { mkdirSync, readdirSync, readlinkSync, symlinkSync, unlinkSync } from "node:fs";
import { readUndo, writeUndo } from "../host/undo.ts";

/** In a sandbox's bundle: a link to the bundle of each of its containers. */
const FOLDER = "trimaran.members";

/**
 * Note a container of a sandbox, before anything of it is made. With the monitor of a sandbox all its containers are gone, and containerd then
 * asks for `delete` of the sandbox alone.
 */
export function addMember(sandboxBundle: string, id: string, bundle: string): void {
  mkdirSync(`${sandboxBundle}/${FOLDER}`, { recursive: true, mode: 0o700 });
  removeMember(sandboxBundle, id);
  symlinkSync(bundle, `${sandboxBundle}/${FOLDER}/${id}`);
}

export function removeMember(sandboxBundle: string, id: string): void {
  try {
    unlinkSync(`${sandboxBundle}/${FOLDER}/${id}`);
  } catch {
    // already gone is what was wanted
  }
}

/** What is to be undone of the containers that are left becomes the sandbox's to undo, before its own, so that one replay does it all. */
export function inheritUndo(sandboxBundle: string): void {
  const ids = membersOf(sandboxBundle);
  if (ids.length === 0) return;
  const inherited = ids.flatMap((id) => readUndo(readlinkSync(`${sandboxBundle}/${FOLDER}/${id}`)));
  writeUndo(sandboxBundle, [...inherited, ...readUndo(sandboxBundle)]);
  for (const id of ids) removeMember(sandboxBundle, id);
}

function membersOf(sandboxBundle: string): readonly string[] {
  try {
    return readdirSync(`${sandboxBundle}/${FOLDER}`);
  } catch {
    return []; // no sandbox's bundle, or one without containers
  }
}
