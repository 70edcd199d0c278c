import { styleText } from "node:util";

type Style = Parameters<typeof styleText>[0];

/** Plain-text output; colour only where the stream is a terminal and NO_COLOR is not set. */
export class Printer {
  readonly #stream: NodeJS.WriteStream;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  line(text = ""): void {
    this.#stream.write(`${text}\n`);
  }

  title(text: string): void {
    this.line(`\n${this.#styled("bold", text)}`);
  }

  /** One finished step with its time. */
  step(name: string, durationMs: number, note: string): void {
    this.line(`  ${name.padEnd(10)} ${this.#styled("cyan", `${durationMs.toFixed(1).padStart(7)} ms`)}  ${note}`);
  }

  table(head: readonly string[], rows: readonly (readonly string[])[]): void {
    const widths = head.map((_, at) => Math.max(...[head, ...rows].map((row) => row[at]?.length ?? 0)));
    const join = (row: readonly string[]) =>
      row
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join("   ")
        .trimEnd();
    this.line(`  ${this.#styled("bold", join(head))}`);
    for (const row of rows) this.line(`  ${join(row)}`);
  }

  /** Somebody else's output, set off. */
  quote(text: string): void {
    for (const line of text.trimEnd().split("\n")) this.line(`  ${this.#styled("dim", "|")} ${line}`);
  }

  #styled(style: Style, text: string): string {
    return styleText(style, text, { stream: this.#stream, validateStream: true });
  }
}
