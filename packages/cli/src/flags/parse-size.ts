const UNITS: Readonly<Record<string, number>> = { "": 1, b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };

/** `64m`, `1.5g`, `1048576` to bytes; k, m, g, t are powers of 1024 and may be followed by `b` or `ib`. Throws RangeError. */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(b|[kmgt](?:i?b)?)?$/i.exec(text);
  const factor = UNITS[(match?.[2] ?? "").charAt(0).toLowerCase()];
  const bytes = Math.round(Number(match?.[1]) * (factor ?? Number.NaN));
  if (Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw new RangeError(`${JSON.stringify(text)}: not a size like 64m or 1g`);
}

/** A number above 0, as `--cpus 1.5`. */
export function parsePositive(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value) && value > 0) return value;
  throw new RangeError(`${JSON.stringify(text)}: not a number above 0`);
}

/** A whole number above 0, as `--pids-limit 100`. */
export function parseCount(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new RangeError(`${JSON.stringify(text)}: not a whole number above 0`);
}

/** A whole number of seconds from 0 on. */
export function parseSeconds(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new RangeError(`${JSON.stringify(text)}: not a whole number of seconds`);
}
