import { createHash, type Hash } from "node:crypto";
import { Code, ManagerError } from "../errors/manager-error.ts";

const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

declare const brand: unique symbol;
/** `sha256:` or `sha512:` and lower-case hexadecimal: a name that may become a path. */
export type Digest = string & { readonly [brand]: "Digest" };
/** The hash functions of the store; sha256 is the one that is used when nobody asks for another. */
export type DigestAlgorithm = "sha256" | "sha512";
export const DIGEST_ALGORITHMS: readonly DigestAlgorithm[] = ["sha256", "sha512"];

/** Whether a text is a digest. */
export function isDigest(text: string): text is Digest {
  return DIGEST.test(text);
}

/** Throws InvalidArgument. `field` names the input in the error. */
export function parseDigest(field: string, text: string): Digest {
  if (isDigest(text)) return text;
  throw new ManagerError(
    Code.InvalidArgument,
    `${field} ${JSON.stringify(text)}: not a digest (sha256:<64 hex> or sha512:<128 hex>)`,
  );
}

/** The part before the colon. */
export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.startsWith("sha256:") ? "sha256" : "sha512";
}

/** The part after the colon. */
export function hexOf(digest: Digest): string {
  return digest.slice(digest.indexOf(":") + 1);
}

/** The digest of what a hash has seen so far; the hash can go on. */
export function digestSoFar(algorithm: DigestAlgorithm, hash: Hash): Digest {
  return `${algorithm}:${hash.copy().digest("hex")}` as Digest;
}

/** The digest of bytes in memory. */
export function digestOf(bytes: string | Uint8Array, algorithm: DigestAlgorithm = "sha256"): Digest {
  return digestSoFar(algorithm, createHash(algorithm).update(bytes));
}
