import { parseRfc3339 } from "../content/rfc3339.ts";

/** Labels of any object, as they are stored. */
export type Labels = Readonly<Record<string, string>>;

/** What a label keeps. It need not exist. */
export type Reference =
  | { readonly kind: "content"; readonly digest: string }
  | { readonly kind: "snapshot"; readonly snapshotter: string; readonly key: string }
  | { readonly kind: "image"; readonly name: string };

const CONTENT = "containerd.io/gc.ref.content";
const IMAGE = "containerd.io/gc.ref.image";
const SNAPSHOT = "containerd.io/gc.ref.snapshot.";
const ROOT = "containerd.io/gc.root";
const EXPIRE = "containerd.io/gc.expire";
const FLAT = "containerd.io/gc.flat";

/** What an object's `gc.ref` labels keep. What follows a prefix after a dot or a slash only makes the label unique. */
export function labelReferences(labels: Labels): Reference[] {
  return Object.entries(labels).flatMap(([label, value]): Reference[] => {
    if (isLabelOf(CONTENT, label)) return [{ kind: "content", digest: value }];
    if (isLabelOf(IMAGE, label)) return [{ kind: "image", name: value }];
    if (!label.startsWith(SNAPSHOT)) return [];
    const snapshotter = label.slice(SNAPSHOT.length).split("/", 1)[0];
    return snapshotter ? [{ kind: "snapshot", snapshotter, key: value }] : [];
  });
}

/** Whether a blob or a snapshot is kept for its own sake. */
export function isGcRoot(labels: Labels): boolean {
  return Object.hasOwn(labels, ROOT);
}

/** Whether a lease or an image has had its time. A time that cannot be read is none. */
export function isExpired(labels: Labels, nowNs: bigint): boolean {
  const expiresAtNs = Object.hasOwn(labels, EXPIRE) ? parseRfc3339(labels[EXPIRE] ?? "") : undefined;
  return expiresAtNs !== undefined && expiresAtNs <= nowNs;
}

/** Whether a lease keeps its own objects only, not what they refer to. */
export function isFlat(labels: Labels): boolean {
  return Object.hasOwn(labels, FLAT);
}

function isLabelOf(prefix: string, label: string): boolean {
  return (
    label.startsWith(prefix) && (label.length === prefix.length || [".", "/"].includes(label[prefix.length] ?? ""))
  );
}
