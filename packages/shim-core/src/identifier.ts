import { Code, StatusError } from "ttrpc-ts";

const IDENTIFIER = /^[A-Za-z0-9]+([._-][A-Za-z0-9]+)*$/;

/** 1 to 76 bytes, containerd's identifier rule. Throws InvalidArgument: an id becomes a file name and a cgroup, so nothing else may pass. */
export function parseIdentifier(field: string, text: string): string {
  if (text.length <= 76 && IDENTIFIER.test(text)) return text;
  throw new StatusError(Code.InvalidArgument, `${field} ${JSON.stringify(text)}: not an identifier`);
}
