import { isDigest } from "../content/digest.ts";
import { Code, ManagerError } from "../errors/manager-error.ts";

/** The name of an image in a registry, whole: host, repository and what of it. At least one of tag and digest is there. */
export interface Reference {
  /** Host, with its port if the name has one: `docker.io`, `127.0.0.1:5000`, `[::1]:5000`. */
  readonly host: string;
  /** `library/busybox`. */
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: string | undefined;
}

const DEFAULT_HOST = "docker.io";
const DEFAULT_NAMESPACE = "library";
const DEFAULT_TAG = "latest";
const LIMIT_BYTES = 4096;
const HOST =
  /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;
const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const REPOSITORY_LIMIT = 255;

/**
 * Parse a name as people type it: `busybox` is `docker.io/library/busybox:latest`. A first part with a dot, a colon or the
 * name `localhost` is a host. Throws InvalidArgument with the part that is wrong.
 */
export function parseReference(text: string): Reference {
  if (text.length > LIMIT_BYTES) throw invalid(text.slice(0, 80), `longer than ${LIMIT_BYTES} bytes`);
  const [name = "", digest, ...more] = text.split("@");
  if (more.length > 0) throw invalid(text, 'more than one "@"');
  if (digest !== undefined && !isDigest(digest)) throw invalid(text, `${JSON.stringify(digest)} is not a digest`);
  const { host, path } = splitHost(name);
  const colon = path.indexOf(":");
  const repository = completeRepository(host, colon < 0 ? path : path.slice(0, colon));
  const tag = colon < 0 ? undefined : path.slice(colon + 1);
  if (!HOST.test(host)) throw invalid(text, `${JSON.stringify(host)} is not a host`);
  if (!REPOSITORY.test(repository) || repository.length > REPOSITORY_LIMIT) {
    throw invalid(text, `${JSON.stringify(repository)} is not a repository name (lower case letters and digits)`);
  }
  if (tag !== undefined && !TAG.test(tag)) throw invalid(text, `${JSON.stringify(tag)} is not a tag`);
  return { host, repository, tag: tag ?? (digest === undefined ? DEFAULT_TAG : undefined), digest };
}

/** The full text of a name. */
export function formatReference({ host, repository, tag, digest }: Reference): string {
  return `${host}/${repository}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
}

/** What to ask the registry for: the digest if there is one, else the tag. */
export function manifestName(reference: Reference): string {
  return reference.digest ?? reference.tag ?? DEFAULT_TAG;
}

function splitHost(name: string): { host: string; path: string } {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  if (!/[.:]/.test(first) && first !== "localhost") return { host: DEFAULT_HOST, path: name };
  return { host: first === "index.docker.io" ? DEFAULT_HOST : first, path: name.slice(slash + 1) };
}

function completeRepository(host: string, path: string): string {
  return host === DEFAULT_HOST && path !== "" && !path.includes("/") ? `${DEFAULT_NAMESPACE}/${path}` : path;
}

function invalid(text: string, why: string): ManagerError {
  return new ManagerError(Code.InvalidArgument, `image reference ${JSON.stringify(text)}: ${why}`);
}
