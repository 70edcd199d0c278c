/**
 * File names are bytes, not text: layers exist with names in Latin-1. Here a name is a string with one character (0 to 255) per
 * byte, so that it can be compared, split and concatenated as usual, and nothing is lost.
 */
export type ByteString = string;

const NOT_ASCII = /[^\0-\x7f]/;

/** A name as Node's fs functions take it. */
export function toFsPath(name: ByteString): string | Buffer {
  return NOT_ASCII.test(name) ? Buffer.from(name, "latin1") : name;
}

/** A name as libc takes it through koffi. */
export function toCString(name: ByteString): string | Buffer {
  return NOT_ASCII.test(name) ? Buffer.from(`${name}\0`, "latin1") : name;
}

/** A name for people: UTF-8 where it is, with replacement characters where it is not. */
export function toText(name: ByteString): string {
  return NOT_ASCII.test(name) ? Buffer.from(name, "latin1").toString("utf8") : name;
}

/** The bytes of a text, UTF-8. */
export function toByteString(text: string): ByteString {
  return NOT_ASCII.test(text) ? Buffer.from(text, "utf8").toString("latin1") : text;
}
