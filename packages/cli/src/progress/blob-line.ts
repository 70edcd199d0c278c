import { formatSize } from "../format/format-size.ts";

/** What is known of one blob of a transfer. */
export interface BlobState {
  /** `layer sha256:0123456789ab`. */
  readonly label: string;
  /** containerd's word for what happens: `downloading`, `complete`, … */
  readonly event: string;
  readonly doneBytes: number;
  /** 0 if unknown. */
  readonly totalBytes: number;
  /** Bytes per second since it began to move; undefined before. */
  readonly rate: number | undefined;
}

const BAR_COLUMNS = 20;
const FINISHED = new Set(["complete", "already exists", "extracted", "saved"]);

/** Whether an event is the last of its kind for a blob: worth a line where lines can't be drawn over. */
export function isFinished(event: string): boolean {
  return FINISHED.has(event);
}

/** `layer sha256:0123456789ab  [=====>      ]  12.0 MiB / 40.0 MiB  9.50 MiB/s  downloading`, cut to the columns there are. */
export function formatBlobLine({ label, event, doneBytes, totalBytes, rate }: BlobState, columns: number): string {
  const isMoving = totalBytes > 0 && !isFinished(event);
  const parts = [
    label.padEnd(28),
    ...(isMoving ? [`[${bar(doneBytes / totalBytes)}]`] : []),
    isMoving ? `${formatSize(doneBytes)} / ${formatSize(totalBytes)}` : totalBytes > 0 ? formatSize(totalBytes) : "",
    rate === undefined || rate === 0 ? "" : `${formatSize(rate)}/s`,
    event,
  ];
  return parts.filter(Boolean).join("  ").slice(0, columns);
}

function bar(fraction: number): string {
  const filled = Math.min(BAR_COLUMNS, Math.floor(fraction * BAR_COLUMNS));
  const head = filled < BAR_COLUMNS ? ">" : "";
  return `${"=".repeat(filled)}${head}`.padEnd(BAR_COLUMNS);
}
