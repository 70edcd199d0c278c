import { Code, ManagerError } from "../errors/manager-error.ts";
import { type Row, textOf } from "./row.ts";

/** Labels of any object, as they are stored: no value is empty. */
export type Labels = Readonly<Record<string, string>>;

/** Of a key and its value together. */
const LIMIT_BYTES = 4096;

/**
 * Labels from a client. One whose value is empty is dropped. Throws InvalidArgument if a key and its value have more than 4096
 * bytes. `field` names the input in the error.
 */
export function parseLabels(field: string, labels: Labels): Labels {
  const kept = Object.entries(labels).filter(([, value]) => value !== "");
  for (const [key, value] of kept) {
    const bytes = Buffer.byteLength(key) + Buffer.byteLength(value);
    if (bytes <= LIMIT_BYTES) continue;
    const name = JSON.stringify(key.length > 64 ? `${key.slice(0, 64)}…` : key);
    throw new ManagerError(
      Code.InvalidArgument,
      `${field}[${name}]: key and value have ${bytes} bytes, more than ${LIMIT_BYTES}`,
    );
  }
  return Object.fromEntries(kept);
}

/** One key set to its value in another set of labels, or removed if it has none there. */
export function withLabel(labels: Labels, key: string, from: Labels): Labels {
  const entries = Object.entries(labels).filter(([name]) => name !== key);
  const value = Object.hasOwn(from, key) ? from[key] : undefined;
  return Object.fromEntries(value === undefined || value === "" ? entries : [...entries, [key, value]]);
}

/** For a column. */
export function encodeLabels(labels: Labels): string {
  return JSON.stringify(labels);
}

/** Of a column that `encodeLabels` wrote. */
export function labelsOf(row: Row, column = "labels"): Labels {
  return JSON.parse(textOf(row, column)) as Labels;
}
