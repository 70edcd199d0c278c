const ESCAPE = /\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-7]{3})|([\s\S]))/g;
const SIMPLE: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
  '"': '"',
  "'": "'",
};

/** The inside of a quoted text with Go's escapes; \x and octal ones are code points up to 255. Undefined for an unknown one. */
export function unquote(inside: string): string | undefined {
  let valid = true;
  const text = inside.replace(ESCAPE, (_, hex2, hex4, hex8, octal, simple: string | undefined) => {
    const hex: string | undefined = hex2 ?? hex4 ?? hex8;
    const value = simple === undefined ? codePoint(hex, octal) : SIMPLE[simple];
    valid &&= value !== undefined;
    return value ?? "";
  });
  return valid ? text : undefined;
}

function codePoint(hex: string | undefined, octal: string | undefined): string | undefined {
  const code = hex === undefined ? Number.parseInt(octal ?? "", 8) : Number.parseInt(hex, 16);
  const isSurrogate = code >= 0xd800 && code <= 0xdfff;
  return code > 0x10ffff || isSurrogate || (hex === undefined && code > 255) ? undefined : String.fromCodePoint(code);
}
