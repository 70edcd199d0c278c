import { Api, takeToken } from "./api.ts";
import { containerView } from "./container-view.ts";
import { ContainersView } from "./containers-view.ts";
import { element, setText } from "./dom.ts";
import { UsageHistory } from "./history.ts";
import { namespacesView } from "./namespaces-view.ts";
import { startsView } from "./starts-view.ts";

const INTERVAL_MS = 2000;

const api = new Api(takeToken());
const history = new UsageHistory();
const containers = new ContainersView();
const main = document.querySelector("main") ?? document.body;
const where = document.querySelector("#where") ?? element("p");
const trouble = document.querySelector<HTMLElement>("#trouble") ?? element("p");

/** Ask for what the address names, and show it. Live pages ask again; nobody asks for a page that nobody sees. */
async function show(): Promise<void> {
  const route = location.hash;
  try {
    const view = await load(route);
    if (route !== location.hash) return; // the user has gone on
    if (main.firstElementChild !== view) main.replaceChildren(view);
    trouble.hidden = true;
  } catch (error) {
    setText(trouble, error instanceof Error ? error.message : String(error));
    trouble.hidden = false;
  }
}

async function load(route: string): Promise<HTMLElement> {
  const id = /^#\/container\/(.+)$/.exec(route)?.[1];
  if (id !== undefined) return containerView(await api.container(decodeURIComponent(id)));
  if (route === "#/namespaces") return namespacesView(await api.namespaces());
  const overview = await api.overview();
  setText(where, overview.daemon === "" ? "no daemon" : overview.daemon);
  if (route === "#/starts") return startsView(overview.starts);
  history.add(overview.containers);
  containers.update(overview, history);
  return containers.element;
}

function markPage(): void {
  for (const link of document.querySelectorAll("nav a"))
    if (link.getAttribute("href") === (location.hash || "#/")) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
}

async function goOn(): Promise<void> {
  const isLive = location.hash === "#/" || location.hash === "";
  if (isLive && !document.hidden) await show();
  setTimeout(goOn, INTERVAL_MS);
}

addEventListener("hashchange", () => {
  markPage();
  void show().then(() => main.focus({ preventScroll: true }));
});
// A jump by the address would be taken for a page.
document.querySelector(".skip")?.addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
markPage();
void show().then(() => setTimeout(goOn, INTERVAL_MS));
