/** Text for mdoc(7): nothing in it is a request, and what is to be typed stays what it is. */
export function escapeText(text: string): string {
  return [...text.replaceAll("…", "...")]
    .map((letter) => {
      if (letter === "\\") return "\\e";
      if (letter === "-") return "\\-";
      const code = letter.codePointAt(0) ?? 0;
      return code < 128 ? letter : `\\[u${code.toString(16).toUpperCase().padStart(4, "0")}]`;
    })
    .join("")
    .replaceAll(/^(?=[.'])/gm, "\\&");
}

/** One argument of a macro: a word that could be taken for a macro's name, or has blanks, stays a word. */
export function escapeArgument(text: string): string {
  return `"\\&${escapeText(text).replaceAll('"', '""')}"`;
}

/** Prose, a sentence or part to a line, as mdoc likes it. */
export function prose(text: string): string {
  return escapeText(text.trim().replaceAll(/([.;:]) +(?=\S)/g, "$1\n"));
}

/** `.Sh` with its lines; a section without lines is left out. */
export function section(name: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [`.Sh ${name}`, ...lines];
}

/** A list of terms with what they mean. `head` is the arguments of `.It`. */
export function tagList(entries: readonly { readonly head: string; readonly text: string }[]): string[] {
  if (entries.length === 0) return [];
  return [".Bl -tag -width Ds", ...entries.flatMap(({ head, text }) => [`.It ${head}`, prose(text)]), ".El"];
}

/** Command lines to type, each on its own. */
export function displayed(lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [".Bd -literal -offset indent", ...lines.map(escapeText), ".Ed"];
}
