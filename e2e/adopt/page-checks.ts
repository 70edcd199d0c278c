import type { Browser } from "../harness/browser.ts";

/** WCAG's contrast of each visible text with what is behind it; 4.5 is its level AA. */
export function contrasts(browser: Browser): Promise<{ readonly ratio: number; readonly what: string }[]> {
  return browser.evaluate(`(() => {
    const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgba = (color) => {
      paint.clearRect(0, 0, 1, 1);
      paint.fillStyle = color;
      paint.fillRect(0, 0, 1, 1);
      return [...paint.getImageData(0, 0, 1, 1).data];
    };
    const light = ([r, g, b]) => {
      const [x, y, z] = [r, g, b].map((c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const behind = (node) => {
      for (let at = node; at; at = at.parentElement) {
        const color = rgba(getComputedStyle(at).backgroundColor);
        if (color[3] === 255) return color;
      }
      return [255, 255, 255, 255];
    };
    const texts = [...document.querySelectorAll("body *")].filter(
      (node) => node.checkVisibility() && [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim() !== ""),
    );
    return texts.map((node) => {
      const [a, b] = [light(rgba(getComputedStyle(node).color)), light(behind(node))];
      return { ratio: (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), what: node.tagName + "." + node.className + " " + node.textContent.slice(0, 40) };
    });
  })()`);
}

/** What a screen reader would find nameless: links, inputs, tables, buttons. */
export async function unnamed(browser: Browser): Promise<string[]> {
  const { nodes } = (await browser.send("Accessibility.getFullAXTree")) as {
    readonly nodes: readonly {
      readonly ignored: boolean;
      readonly role?: { readonly value: string };
      readonly name?: { readonly value: string };
    }[];
  };
  const wanted = new Set([
    "link",
    "searchbox",
    "textbox",
    "button",
    "table",
    "navigation",
    "columnheader",
    "rowheader",
  ]);
  return nodes
    .filter(({ ignored, role, name }) => !ignored && wanted.has(role?.value ?? "") && (name?.value ?? "") === "")
    .map(({ role }) => role?.value ?? "");
}
