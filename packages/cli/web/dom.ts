type Child = Node | string;

/** An element. Texts become text nodes, so nothing that a container is called can become markup. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Readonly<Record<string, string>> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** A table with a caption for those who hear it. `number` columns are set to the right, `optional` ones go where room is short. */
export function table(
  caption: string,
  columns: readonly { readonly name: string; readonly kind: string }[],
  rows: readonly HTMLTableRowElement[],
): HTMLElement {
  const head = columns.map(({ name, kind }) => element("th", { scope: "col", class: kind }, name));
  return element(
    "div",
    { class: "card" },
    element(
      "table",
      { "aria-label": caption },
      element("thead", {}, element("tr", {}, ...head)),
      element("tbody", {}, ...rows),
    ),
  );
}

/** Change a text only if it is another one: a screen reader and a selection mind. */
export function setText(node: Element, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

export function formatBytes(bytes: number): string {
  if (bytes < 0) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const at = bytes < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** at;
  return `${value < 10 && at > 0 ? value.toFixed(1) : value.toFixed(0)} ${units[at]}`;
}

/** `#/container/ID`, whatever the id is made of. */
export function containerLink(id: string, attributes: Readonly<Record<string, string>> = {}): HTMLAnchorElement {
  return element("a", { href: `#/container/${encodeURIComponent(id)}`, ...attributes }, id);
}
