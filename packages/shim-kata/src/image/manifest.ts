import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileIdentity } from "./file-identity.ts";

/** Changes when the way an image is made does: older ones are built again. */
export const IMAGE_FORMAT = 1;
/** In the image's folder, written last. */
export const MANIFEST_FILE = "manifest.json";

/** What an image is, and what it was made of. */
export interface ImageManifest {
  readonly format: typeof IMAGE_FORMAT;
  /** Digest of all inputs, 16 hex digits: the folder's name. */
  readonly key: string;
  /** The guest's `uname -r`, and Debian's package. */
  readonly release: string;
  readonly kernelPackage: string;
  /** The project's build, the relative paths of its files: one more or less makes another image. */
  readonly built: readonly string[];
  /** Path on the host to the identity of the file that was read. */
  readonly inputs: Readonly<Record<string, string>>;
  /** File of the image's folder to its size in bytes and SHA-256. */
  readonly outputs: Readonly<Record<string, { readonly bytes: number; readonly sha256: string }>>;
  /** What is in the guest, with sizes in bytes. */
  readonly contents: readonly ImageContent[];
}

/** A file of the guest and why it is there; `where` tells which part of the image has it. */
export interface ImageContent {
  readonly where: "kernel" | "initrd" | "disk";
  readonly path: string;
  readonly bytes: number;
  readonly reason: string;
}

/** The manifest of the image in `directory`; undefined where there is none, or one of another format, or a file has not its size. */
export function readManifest(directory: string): ImageManifest | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(join(directory, MANIFEST_FILE), "utf8"));
  } catch {
    return undefined; // none, or cut short: build it
  }
  if (!isManifest(parsed)) return undefined;
  const whole = Object.entries(parsed.outputs).every(
    ([name, { bytes }]) => statSync(join(directory, name), { throwIfNoEntry: false })?.size === bytes,
  );
  return whole ? parsed : undefined;
}

/** Manifests of all whole images below `directory`, the newest first. */
export function listManifests(directory: string): ImageManifest[] {
  if (!statSync(directory, { throwIfNoEntry: false })) return [];
  const folders = readdirSync(directory).filter((name) => !name.startsWith("."));
  const madeAt = (name: string) => statSync(join(directory, name), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return folders.sort((a, b) => madeAt(b) - madeAt(a)).flatMap((name) => readManifest(join(directory, name)) ?? []);
}

/** Whether every file that the image was made of is still the same. */
export function isFresh(manifest: ImageManifest): boolean {
  return Object.entries(manifest.inputs).every(([path, identity]) => fileIdentity(path) === identity);
}

function isManifest(value: unknown): value is ImageManifest {
  const candidate = value as Partial<ImageManifest> | null;
  return (
    typeof candidate === "object" &&
    candidate?.format === IMAGE_FORMAT &&
    typeof candidate.key === "string" &&
    typeof candidate.outputs === "object" &&
    typeof candidate.inputs === "object" &&
    Array.isArray(candidate.built) &&
    Array.isArray(candidate.contents)
  );
}
