import type { Logger } from "../host/logger.ts";
import type { LogSink } from "../shims/shim-log.ts";

const LINE_LIMIT_BYTES = 16 * 1024;

/** What a shim writes to its log, a line of ours for each of its lines. A line without end is cut at 16 KiB. */
export function shimLogSink(log: Logger, namespace: string, id: string): LogSink {
  let held: Buffer = Buffer.alloc(0);
  const say = (line: Buffer) => {
    if (line.length > 0) log.info("shim says", { namespace, id, line: line.toString("utf8") });
  };
  return (chunk) => {
    held = Buffer.concat([held, chunk]);
    for (let end = held.indexOf(10); end >= 0; end = held.indexOf(10)) {
      say(held.subarray(0, end));
      held = held.subarray(end + 1);
    }
    if (held.length < LINE_LIMIT_BYTES) return;
    say(held);
    held = Buffer.alloc(0);
  };
}
