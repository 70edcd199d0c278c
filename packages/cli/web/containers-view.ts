import { containerLink, element, formatBytes, setText, table } from "./dom.ts";
import { drawSparkline, sparkline, type UsageHistory } from "./history.ts";
import type { ContainerRow, Overview } from "./model.ts";

const COLUMNS = [
  { name: "Container", kind: "cut" },
  { name: "State", kind: "" },
  { name: "Image", kind: "cut" },
  { name: "Runtime", kind: "optional cut" },
  { name: "Processes", kind: "optional number" },
  { name: "Memory", kind: "number" },
  { name: "CPU", kind: "number" },
  { name: "CPU, last minutes", kind: "optional number" },
];

interface Row {
  readonly element: HTMLTableRowElement;
  readonly words: string;
  update(row: ContainerRow, percents: readonly number[]): void;
}

/** All containers with their use. Rows stay where they are and change their cells, so that 300 of them cost little. */
export class ContainersView {
  readonly element = element("section");
  readonly #body: Element;
  readonly #count = element("p", { class: "hint", role: "status" });
  readonly #filter = element("input", { type: "search", autocomplete: "off", spellcheck: "false" });
  readonly #rows = new Map<string, Row>();

  constructor() {
    const list = table("Containers", COLUMNS, []);
    this.#body = list.querySelector("tbody") ?? list;
    this.#filter.addEventListener("input", () => this.#show());
    this.element.append(
      element("h1", {}, "Containers"),
      this.#count,
      element("div", { class: "tools" }, element("label", {}, "Filter by name, image, runtime or state", this.#filter)),
      list,
    );
  }

  update({ containers, namespace }: Overview, history: UsageHistory): void {
    const present = new Set(containers.map(({ id }) => id));
    for (const [id, row] of this.#rows)
      if (!present.has(id)) {
        row.element.remove();
        this.#rows.delete(id);
      }
    for (const container of containers) {
      const row = this.#rows.get(container.id) ?? this.#add(container);
      row.update(container, history.percents(container.id));
    }
    const running = containers.filter(({ state }) => state === "running").length;
    setText(this.#count, `${containers.length} in namespace ${namespace}, ${running} of them running`);
    this.#show();
  }

  #add(container: ContainerRow): Row {
    const row = makeRow(container);
    this.#rows.set(container.id, row);
    this.#body.append(row.element);
    return row;
  }

  #show(): void {
    const wanted = this.#filter.value.trim().toLowerCase();
    for (const { element: row, words } of this.#rows.values())
      row.hidden = wanted !== "" && !`${words} ${row.dataset.state}`.includes(wanted);
  }
}

function makeRow({ id, image, runtime, command }: ContainerRow): Row {
  const state = element("td", { class: "state" });
  const [processes, memory, cpu] = [element("td"), element("td"), element("td")];
  processes.className = "optional number";
  memory.className = "number";
  cpu.className = "number";
  const spark = sparkline();
  const row = element(
    "tr",
    {},
    element("th", { scope: "row", class: "cut", title: command }, containerLink(id)),
    state,
    element("td", { class: "cut", title: image }, image),
    element("td", { class: "optional cut", title: runtime }, runtime.replace(/^io\.containerd\./, "")),
    processes,
    memory,
    cpu,
    element("td", { class: "optional number" }, spark),
  );
  return {
    element: row,
    words: `${id} ${image} ${runtime}`.toLowerCase(),
    update({ state: name, exitStatus, usage }, percents) {
      row.dataset.state = name;
      state.dataset.state = exitStatus > 0 ? "failed" : name;
      setText(state, exitStatus >= 0 ? `${name} (${exitStatus})` : name);
      setText(processes, usage === null ? "–" : String(usage.pids));
      setText(memory, usage === null ? "–" : memoryText(usage.memoryBytes, usage.memoryLimitBytes));
      const last = percents.at(-1);
      setText(cpu, last === undefined ? "–" : `${last.toFixed(1)} %`);
      drawSparkline(spark, percents);
    },
  };
}

function memoryText(bytes: number, limitBytes: number): string {
  return limitBytes > 0 ? `${formatBytes(bytes)} of ${formatBytes(limitBytes)}` : formatBytes(bytes);
}
