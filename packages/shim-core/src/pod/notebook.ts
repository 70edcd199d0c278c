import type { MonitorLink } from "@trimaran/monitor";

/** Where a pod keeps what must outlive its side of the monitor's connection: values by key. */
export interface Notebook {
  readonly notes: ReadonlyMap<string, Uint8Array>;
  /** Keep what `encode` gives: now or when somebody asks; undefined: forget the key. */
  note(key: string, encode: (() => Uint8Array) | undefined): void;
}

/** The monitor keeps it, for the next task server. */
export function monitorNotebook(link: Pick<MonitorLink, "notes" | "note">): Notebook {
  return {
    get notes() {
      return link.notes;
    },
    note: (key, encode) => link.note(key, encode?.()),
  };
}

/** This program keeps it, because nobody comes after it: nothing is encoded unless the monitor connects anew. */
export class OwnNotebook implements Notebook {
  readonly #kept = new Map<string, () => Uint8Array>();

  get notes(): ReadonlyMap<string, Uint8Array> {
    return new Map([...this.#kept].map(([key, encode]) => [key, encode()]));
  }

  note(key: string, encode: (() => Uint8Array) | undefined): void {
    if (encode) this.#kept.set(key, encode);
    else this.#kept.delete(key);
  }
}
