/** What an endpoint may be used for. */
export type Capability = "pull" | "resolve" | "push";
export const CAPABILITIES: readonly Capability[] = ["pull", "resolve", "push"];

/** One server that has a registry's content: the registry itself, or a mirror of it. */
export interface Endpoint {
  /** Of the API, without a slash at the end: `https://registry-1.docker.io/v2`. */
  readonly url: URL;
  readonly capabilities: ReadonlySet<Capability>;
  /** Do not check its certificate. */
  readonly skipVerify: boolean;
  /** Certificates, PEM, that count besides the usual ones. */
  readonly ca: readonly string[];
  /** Not the registry itself: it must be told whose content is meant, and gets no secret of the registry's. */
  readonly isMirror: boolean;
}

/** Where a host's registry is when nothing else is said. Docker Hub has another name for its API; loopback has no TLS. */
export function defaultServer(host: string, scheme?: "http" | "https"): URL {
  const apiHost = host === "docker.io" ? "registry-1.docker.io" : host;
  return new URL(`${scheme ?? (isLoopback(host) ? "http" : "https")}://${apiHost}/v2`);
}

/** Whether a host, with or without a port, is this machine. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/:\d+$/, "");
  return name === "localhost" || name === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(name);
}
