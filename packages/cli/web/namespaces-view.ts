import { containerLink, element } from "./dom.ts";
import type { NamespaceSet, NamespaceSets } from "./model.ts";

const KINDS: Readonly<Record<string, string>> = {
  pid: "Processes see each other",
  net: "Interfaces, addresses, ports",
  mnt: "Mounts",
  uts: "Host name",
  ipc: "Shared memory and message queues",
  user: "Users and capabilities",
  cgroup: "Root of the cgroups that they see",
  time: "Clocks since boot",
};

/** Namespaces as what they are: sets of processes. Those that are one container's own are folded up, because most are. */
export function namespacesView({ sets }: NamespaceSets): HTMLElement {
  const view = element(
    "section",
    {},
    element("h1", {}, "Namespaces"),
    element("p", { class: "hint" }, "A namespace is a set of processes. Point at a container to see it in each kind."),
  );
  for (const [kind, meaning] of Object.entries(KINDS)) {
    const ofKind = sets.filter((set) => set.kind === kind);
    if (ofKind.length === 0) continue;
    const shared = ofKind.filter(({ isHost, containers }) => isHost || containers.length > 1);
    const own = ofKind.filter((set) => !shared.includes(set));
    view.append(
      element("h2", {}, `${kind}: `, meaning.toLowerCase()),
      element("div", { class: "sets" }, ...shared.map(setBox)),
    );
    if (own.length > 0)
      view.append(
        element(
          "details",
          own.length <= 12 ? { open: "" } : {},
          element("summary", {}, `${own.length} of one container each`),
          element("div", { class: "sets" }, ...own.map(setBox)),
        ),
      );
  }
  for (const event of ["pointerover", "focusin"]) view.addEventListener(event, ({ target }) => markSame(view, target));
  return view;
}

function setBox({ identity, isHost, processes, containers }: NamespaceSet): HTMLElement {
  const inContainers = containers.reduce((sum, container) => sum + container.processes, 0);
  const others = processes - inContainers;
  const words = [isHost ? "the host's" : identity, `${processes} process${processes === 1 ? "" : "es"}`];
  const chips = containers.map(({ id, processes: count }) =>
    element("li", {}, containerLink(id, { class: "chip", title: `${id}: ${count}`, "data-id": id })),
  );
  if (others > 0) chips.push(element("li", {}, element("span", { class: "chip" }, `${others} of no container`)));
  return element(
    "div",
    { class: isHost ? "set host" : "set", "data-identity": identity },
    element("h3", {}, words.join(", ")),
    element("ul", { class: "chips" }, ...chips),
  );
}

function markSame(view: HTMLElement, target: EventTarget | null): void {
  const id = target instanceof HTMLElement ? target.dataset.id : undefined;
  for (const chip of view.querySelectorAll<HTMLElement>(".chip"))
    chip.classList.toggle("same", id !== undefined && chip.dataset.id === id);
}
