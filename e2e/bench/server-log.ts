import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ShimYard } from "../harness/shims.ts";

/** A line that a task server has logged, with its fields as they are. */
export type LogLine = Readonly<Record<string, unknown>>;

/** All lines of a yard's task servers, each server's in its order. */
export async function serverLines({ trimaranState }: Pick<ShimYard, "trimaranState">): Promise<LogLine[]> {
  const folders = await readdir(trimaranState);
  const texts = folders.map((name) => readFile(join(trimaranState, name, "server.log"), "utf8").catch(() => ""));
  const lines = (await Promise.all(texts)).join("").split("\n");
  return lines.filter((line) => line.startsWith("{")).map((line): LogLine => JSON.parse(line));
}
