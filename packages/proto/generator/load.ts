import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import protobuf from "protobufjs";

/** Parse every .proto file below `folder`, in the order of their names, into one resolved tree. Throws on a bad file. */
export function loadProtos(folder: string): protobuf.Root {
  const root = new protobuf.Root();
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".proto"));
  for (const name of files.sort()) {
    const source = readFileSync(join(folder, name), "utf8");
    protobuf.parse(source, root, { alternateCommentMode: true, preferTrailingComment: false });
  }
  root.resolveAll();
  return root;
}

/** Messages in the order of their full names. */
export function messagesOf(root: protobuf.NamespaceBase): protobuf.Type[] {
  const found: protobuf.Type[] = [];
  for (const nested of root.nestedArray) {
    if (nested instanceof protobuf.Type) found.push(nested);
    if (nested instanceof protobuf.Namespace) found.push(...messagesOf(nested));
  }
  return found.sort((a, b) => (a.fullName < b.fullName ? -1 : 1));
}

/** `containerd.task.v2.StateRequest`, without protobufjs's leading dot. */
export function fullName(object: protobuf.ReflectionObject): string {
  return object.fullName.replace(/^\./, "");
}
