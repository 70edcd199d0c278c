import { randomUUID } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../errors/manager-error.ts";
import { writeFileAtomic } from "../host/atomic-file.ts";

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The name of a root directory among all others (RFC 4122): made at the first start, kept in a file where containerd has it. */
export async function readServerId(root: string): Promise<string> {
  const directory = join(root, "io.containerd.grpc.v1.introspection");
  const path = join(directory, "uuid");
  const known = await readFile(path, "utf8").catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return "";
    throw error;
  });
  if (UUID.test(known.trim())) return known.trim();
  const made = randomUUID();
  await mkdir(directory, { recursive: true, mode: 0o711 });
  await writeFileAtomic(path, made);
  return made;
}
