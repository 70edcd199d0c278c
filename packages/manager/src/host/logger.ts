/** Values of a log line, by containerd's names: namespace, id, pid, path, error, … */
export type LogFields = Readonly<Record<string, string | number | undefined>>;

/** Lines for whoever runs the program. `msg` is constant; what varies is a field. */
export interface Logger {
  debug(msg: string, fields?: LogFields): void;
  info(msg: string, fields?: LogFields): void;
  warning(msg: string, fields?: LogFields): void;
  error(msg: string, fields?: LogFields): void;
}

export type LogLevel = keyof Logger;

/** A logger that writes containerd's text form, a line per call; debug lines only on request. */
export function textLogger(write: (line: string) => void, debug: boolean): Logger {
  const at = (level: LogLevel) => (msg: string, fields?: LogFields) =>
    write(formatLogLine(new Date(), level, msg, fields));
  return { debug: debug ? at("debug") : () => {}, info: at("info"), warning: at("warning"), error: at("error") };
}

/** One line, its newline included. A newline in a value must not forge a line: values are quoted where need be. */
export function formatLogLine(time: Date, level: LogLevel, msg: string, fields: LogFields = {}): string {
  const shown = Object.entries(fields).filter(([, value]) => value !== undefined);
  const pairs = [`time="${time.toISOString()}"`, `level=${level}`, `msg=${JSON.stringify(msg)}`];
  return `${[...pairs, ...shown.map(([key, value]) => `${key}=${quote(String(value))}`)].join(" ")}\n`;
}

function quote(value: string): string {
  return /^[A-Za-z0-9._/@^+:-]+$/.test(value) ? value : JSON.stringify(value);
}
