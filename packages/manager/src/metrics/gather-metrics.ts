import { readdir, readFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import {
  METRICS_FILE,
  METRICS_SOCKET,
  type MetricFamily,
  type MetricsReport,
  parseMetricsReport,
  withLabels,
} from "@trimaran/proto";
import { errnoOf } from "../errors/manager-error.ts";

/** A task server that is stopped or busy must not hold up all the others' numbers. */
const ANSWER_LIMIT_MS = 1000;

/**
 * What every task server and daemon of this node has counted. `places`: directories that have a directory for each of them;
 * `more`: directories of single ones. One that sleeps is known by the file that it has left; one that does not answer has `trimaran_up` 0.
 */
export async function gatherMetrics(places: readonly string[], more: readonly string[] = []): Promise<MetricFamily[]> {
  const directories = [...(await Promise.all(places.map(directoriesIn))).flat(), ...more];
  const reports = await Promise.all([...new Set(directories)].map(readDirectory));
  const present = reports.filter((report) => report !== undefined);
  const up = present.map(({ labels, isUp }) => ({ labels, value: isUp ? 1 : 0 }));
  const help = "Whether the task server or daemon answers. A task server without pods sleeps, and is 0.";
  return [
    { name: "trimaran_up", help, type: "gauge", samples: up },
    ...present.flatMap(({ labels, families }) => families.map((family) => withLabels(family, labels))),
  ];
}

async function directoriesIn(place: string): Promise<string[]> {
  try {
    const entries = await readdir(place, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(place, name));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

async function readDirectory(directory: string): Promise<(MetricsReport & { readonly isUp: boolean }) | undefined> {
  const live = await askSocket(join(directory, METRICS_SOCKET));
  if (live !== undefined) return { ...live, isUp: true };
  try {
    return { ...parseMetricsReport(await readFile(join(directory, METRICS_FILE), "utf8")), isUp: false };
  } catch {
    return undefined; // none of ours, or nobody has ever counted there
  }
}

async function askSocket(path: string): Promise<MetricsReport | undefined> {
  const socket = connect(path);
  const timer = setTimeout(() => socket.destroy(new Error("no answer")), ANSWER_LIMIT_MS);
  try {
    return parseMetricsReport(await text(socket));
  } catch {
    return undefined; // nobody listens, or it is no report
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}
