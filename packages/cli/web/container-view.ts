import { element, formatBytes, table } from "./dom.ts";
import type { Change, ContainerPage, Layer } from "./model.ts";

const WORDS: Readonly<Record<Change["kind"], string>> = {
  added: "added",
  "copied-up": "changed",
  deleted: "deleted",
  replaced: "replaced",
};

/** One container: its layers as overlayfs stacks them, what it has changed, its namespaces. */
export function containerView(page: ContainerPage): HTMLElement {
  return element(
    "section",
    {},
    element("h1", {}, page.id),
    element("p", { class: "hint" }, element("a", { href: "#/" }, "All containers")),
    element("h2", {}, "Namespaces"),
    namespaces(page),
    element("h2", {}, "Layers"),
    element("p", { class: "hint" }, "The uppermost is its own; a file is seen where it is first found from above."),
    layers(page.layers),
    element("h2", {}, "What it has changed"),
    changes(page),
  );
}

function namespaces({ namespaces: list }: ContainerPage): HTMLElement {
  if (list.length === 0) return empty("It does not run.");
  const rows = list.flatMap(({ kind, identity, isHost }) => [
    element("dt", {}, kind),
    element(
      "dd",
      {},
      element("code", {}, identity),
      " ",
      isHost ? "the host's" : element("a", { href: "#/namespaces" }, `who else is in this ${kind} namespace?`),
    ),
  ]);
  return element("div", { class: "card" }, element("dl", {}, ...rows));
}

function layers(list: readonly Layer[]): HTMLElement {
  if (list.length === 0) return empty("Its root file system has no layers that we know of.");
  const columns = [
    { name: "Layer", kind: "" },
    { name: "Size", kind: "number" },
    { name: "Directory", kind: "" },
  ];
  const rows = list.map(({ index, directory, sizeBytes }) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, index === 0 ? "its own" : `image, ${index}`),
      element("td", { class: "number" }, formatBytes(sizeBytes)),
      element("td", {}, element("code", {}, directory)),
    ),
  );
  return table("Layers", columns, rows);
}

function changes({ changes: list, hasMoreChanges }: ContainerPage): HTMLElement {
  if (list.length === 0) return empty("Nothing.");
  const columns = [
    { name: "Change", kind: "" },
    { name: "Path", kind: "" },
    { name: "Size", kind: "number" },
  ];
  const rows = list.map(({ path, kind, type, sizeBytes }) =>
    element(
      "tr",
      {},
      element("td", { class: `change-${kind}` }, WORDS[kind]),
      element("td", {}, element("code", {}, type === "directory" ? `${path}/` : path)),
      element("td", { class: "number" }, type === "file" ? formatBytes(sizeBytes) : ""),
    ),
  );
  const all = table("Changes", columns, rows);
  if (!hasMoreChanges) return all;
  return element("div", {}, all, element("p", { class: "hint" }, "And more: trimaran diff lists all of them."));
}

function empty(text: string): HTMLElement {
  return element("div", { class: "card" }, element("div", { class: "empty" }, text));
}
