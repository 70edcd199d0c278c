import { element } from "./dom.ts";
import type { StartSteps } from "./model.ts";
import { traceOpener } from "./trace-view.ts";

const NAMES: Readonly<Record<string, string>> = {
  bootstrap_start: "bootstrap: become or join the pod's monitor",
  create: "create: namespaces, mounts, cgroup, up to the gate",
  start: "start: open the gate, execve",
};

/** Where the time of a start goes, on average since the task server's start: steps one after the other, on one scale. */
export function startsView(starts: readonly StartSteps[]): HTMLElement {
  const view = element(
    "section",
    {},
    element("h1", {}, "Starts"),
    element(
      "p",
      { class: "hint" },
      "The average start of each runtime, step by step, as its task servers have timed them.",
    ),
  );
  const shown = starts.filter(({ steps }) => steps.some(({ count }) => count > 0));
  if (shown.length === 0)
    view.append(element("div", { class: "card" }, element("div", { class: "empty" }, "Nothing has been started yet.")));
  const longestMs = Math.max(...shown.map(totalMs));
  for (const start of shown) {
    view.append(
      element("h2", {}, start.runtime),
      element("div", { class: "card waterfall" }, ...lanes(start, longestMs)),
    );
  }
  view.append(traceOpener());
  return view;
}

function totalMs({ steps }: StartSteps): number {
  return steps.reduce((sum, { meanMs }) => sum + meanMs, 0);
}

function lanes({ steps }: StartSteps, longestMs: number): HTMLElement[] {
  let fromMs = 0;
  return steps.flatMap(({ name, count, meanMs }) => {
    const bar = element("div", { class: "bar" });
    bar.style.marginLeft = `${(fromMs / longestMs) * 100}%`;
    bar.style.width = `${(meanMs / longestMs) * 100}%`;
    fromMs += meanMs;
    return [
      element("span", {}, NAMES[name] ?? name),
      element("div", { class: "lane", "aria-hidden": "true" }, bar),
      element("span", { class: "mono" }, `${meanMs.toFixed(1)} ms, of ${count}`),
    ];
  });
}
