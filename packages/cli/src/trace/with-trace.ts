import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  encodeSpans,
  monotonicNs,
  newSpanId,
  newTraceId,
  OtlpExporter,
  parseOtlpSettings,
  parseSpans,
  type Span,
  SpanRecorder,
  unixOffsetNs,
} from "@trimaran/manager/trace";
import ownPackage from "../../package.json" with { type: "json" };
import type { CliContext } from "../cli-context.ts";
import { toWaterfall } from "./waterfall.ts";
import { formatSvg } from "./waterfall-svg.ts";
import { formatText } from "./waterfall-text.ts";

/** Flags of commands that start a process. */
export interface TraceFlags {
  readonly trace: boolean;
  readonly traceSvg?: string;
  readonly traceJson?: string;
}

/** The name of this process in spans. */
const COMMAND = "command";
/** How long the end of a command waits for a collector. */
const EXPORT_LIMIT_MS = 1000;
const COLUMNS = 100;

/**
 * Do a command's work, and show where its start went: as text on stderr, or into files. What the manager, the shim and the container measure
 * comes back in a directory (TRACE_DIRECTORY). With OpenTelemetry's variables it also goes to a collector, which delays the command's end at most
 * a little, and never fails it.
 */
export async function withTrace<T>(
  context: CliContext,
  flags: TraceFlags,
  name: string,
  work: () => Promise<T>,
): Promise<T> {
  const { environment } = context;
  const settings = parseOtlpSettings(environment, "trimaran");
  const isShown = flags.trace || flags.traceSvg !== undefined || flags.traceJson !== undefined;
  if (!isShown && settings === undefined) return await work();
  await using undo = new AsyncDisposableStack();
  const directory = isShown ? await mkdtemp(join(tmpdir(), "trimaran-trace-")) : undefined;
  if (directory !== undefined) undo.defer(() => rm(directory, { recursive: true, force: true }));
  const recorder = new SpanRecorder({ traceId: newTraceId(), process: COMMAND, directory });
  const rootId = newSpanId();
  const bornNs = monotonicNs() - BigInt(Math.round(performance.now() * 1e6));
  const root = { spanId: rootId, name, startNs: bornNs };
  recorder.add({
    spanId: newSpanId(),
    parentId: rootId,
    name: "command comes up",
    startNs: bornNs,
    endNs: monotonicNs(),
  });
  try {
    return await recorder.run(rootId, work);
  } finally {
    recorder.add({ ...root, endNs: startedNs(recorder.spans, rootId) });
    if (directory !== undefined) await show(context, flags, [...recorder.spans, ...(await collect(directory))]);
    if (settings !== undefined) {
      const exporter = new OtlpExporter(settings, ownPackage.version);
      exporter.add(recorder.spans);
      await exporter.flush(EXPORT_LIMIT_MS);
    }
  }
}

/** A start is over when Start was answered; one that failed, now. */
function startedNs(spans: readonly Span[], rootId: string): bigint {
  return spans.findLast(({ name, parentId }) => name === "start" && parentId === rootId)?.endNs ?? monotonicNs();
}

/** What the others have written. A file that cannot be read is left out: the rest still says something. */
async function collect(directory: string): Promise<Span[]> {
  const spans: Span[] = [];
  for (const file of await readdir(directory)) {
    try {
      spans.push(...parseSpans(await readFile(join(directory, file), "utf8")).spans);
    } catch {
      // written by another version, or cut short
    }
  }
  return spans;
}

async function show({ process }: CliContext, flags: TraceFlags, spans: readonly Span[]): Promise<void> {
  const rows = toWaterfall(spans);
  const { columns } = process.stderr as { columns?: number };
  if (flags.trace) process.stderr.write(formatText(rows, columns ?? COLUMNS));
  if (flags.traceSvg !== undefined) await writeFile(flags.traceSvg, formatSvg(rows));
  if (flags.traceJson !== undefined)
    await writeFile(flags.traceJson, `${encodeSpans({ unixOffsetNs: unixOffsetNs(), spans })}\n`);
}
