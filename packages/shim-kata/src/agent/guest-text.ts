import { StatusError } from "ttrpc-ts";

const LIMIT = 1000;

/** A text from the guest, for messages and logs: of bounded length, and without control characters, which could forge lines or move a cursor. */
export function guestText(text: string): string {
  const cut = text.length > LIMIT ? `${text.slice(0, LIMIT)}…` : text;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return cut.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
}

/** An error that came from the guest, with its text made harmless. */
export function guestError(error: StatusError): StatusError {
  return new StatusError(error.code, guestText(error.message));
}
