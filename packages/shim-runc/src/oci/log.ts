import { appendFileSync } from "node:fs";

/** Where errors and warnings go besides stderr, as runc has it: engines read the file to say what went wrong. */
export interface ErrorLog {
  write(level: "error" | "warning", message: string): void;
}

/** `--log` and `--log-format`. Without a file: stderr, in words. A file that cannot be written is told on stderr. */
export function openLog(path: string | undefined, format: "text" | "json", stderr: (text: string) => void): ErrorLog {
  return {
    write(level, message) {
      if (path === undefined || path === "/dev/stderr") {
        stderr(`trimaran oci: ${message}\n`);
        return;
      }
      const time = new Date().toISOString();
      const line =
        format === "json"
          ? JSON.stringify({ level, msg: message, time })
          : `time=${JSON.stringify(time)} level=${level} msg=${JSON.stringify(message)}`;
      try {
        appendFileSync(path, `${line}\n`, { mode: 0o644 });
      } catch (error) {
        stderr(`trimaran oci: ${path}: ${error instanceof Error ? error.message : error}\n`);
      }
      if (level === "error") stderr(`${message}\n`);
    },
  };
}
