import type { Engine } from "./containerd.ts";
import { buildImages, IMAGE } from "./images.ts";

/** One `ctr` command: its words, split at blanks (a tab is a blank within a word), perhaps with stdin. `$IMAGE`, `$DIR`, `$OCI` and `$DOCKER` are replaced. */
export type Step = string | { readonly ctr: string; readonly stdin?: string };

/** What one command did, with all that differs between two runs taken out. Of an error the class counts, not the sentence. */
export interface Spoken {
  readonly ctr: string;
  readonly code: number;
  readonly stdout: string;
  readonly error: string;
}

/** Run the commands one after the other, whatever they answer. */
export async function transcribe(engine: Engine, steps: readonly Step[]): Promise<Spoken[]> {
  const { oci, docker } = await buildImages();
  const values: Readonly<Record<string, string>> = { $IMAGE: IMAGE, $DIR: engine.dir, $OCI: oci, $DOCKER: docker };
  const substitute = (word: string, name: string) => word.replace(name, values[name] ?? name);
  const spoken: Spoken[] = [];
  await engine.ctrOk("leases", "create", "--id", "first-of-all");
  await engine.ctrOk("leases", "rm", "--sync", "first-of-all"); // no collection for an earlier deletion comes in between
  for (const step of steps) {
    const { ctr, stdin = "" } = typeof step === "string" ? { ctr: step } : step;
    const words = ctr.split(" ").map((word) => Object.keys(values).reduce(substitute, word.replaceAll("\t", " ")));
    const done = await engine.ctrWith({ stdin }, ...words);
    const [stdout, said] = [done.stdout, done.stderr].map((text) => normalize(engine, text));
    spoken.push({ ctr, code: done.code, stdout: withoutProgress(stdout ?? ""), error: errorClass(said ?? "") });
  }
  return spoken;
}

const VARIABLE: readonly (readonly [RegExp, string])[] = [
  [/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( ?(Z|[+-]\d\d:?\d\d)( [A-Z]+)?)?/g, "TIME"],
  [/import-\d{4}-\d\d-\d\d/g, "import-DATE"],
  [/\b\d+ (nanoseconds|microseconds|milliseconds|seconds?|minutes?)( ago)?/g, "AGE"],
  [/\b(less than a|about a) (second|minute)( ago)?/gi, "AGE"],
  [/elapsed: *[\d.]+ ?m?s/g, "elapsed: TIME"],
  [/\([\d.]+ [KMG]?i?B\/s\)/g, "(RATE)"],
  [/total: *[\d.]+ [KMG]?i?B? ?/g, "total: SIZE "],
  [/\b\d{10,}-[\w-]{4}\b/g, "NONCE"],
  [/time="[^"]*"/g, "time=TIME"],
  [/snapshots\/\d+\//g, "snapshots/N/"],
  [/^\d+(?=\s)/gm, "PID"],
  [/[ \t]+/g, " "],
  [/ +$/gm, ""],
];

const CLASSES =
  /already exists|failed precondition|invalid argument|not found|not implemented|unavailable|unknown|out of range/g;

/** The last class that is named, or "other"; "" for silence. */
function errorClass(text: string): string {
  return text === "" ? "" : (text.match(CLASSES)?.at(-1) ?? "other");
}

/** What a display shows depends on the time, down to the last line, which ctr may not draw. What it was about is asked by other commands. */
function withoutProgress(text: string): string {
  return text.includes("elapsed: TIME") ? "" : text;
}

/** Without what differs between two runs of the same: times, ids, folders, the order of labels. */
export function normalize(engine: Engine, text: string): string {
  const own = text.replaceAll(engine.dir, "DIR").replaceAll(engine.tag, "TAG");
  const constant = VARIABLE.reduce((result, [pattern, name]) => result.replace(pattern, name), own);
  return constant.replace(/[^ \n]+=[^ \n]*,[^ \n]*=[^ \n]*/g, (labels) => labels.split(",").sort().join(","));
}
