import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { parse } from "smol-toml";
import { Code, errnoOf, ManagerError, messageOf } from "../errors/manager-error.ts";
import { CAPABILITIES, type Capability, defaultServer, type Endpoint } from "./endpoint.ts";

type Table = Record<string, unknown>;

/** Where to look for the rules of a host, most special first: a port's colon is written `_5000_` or as it is. */
function candidates(directory: string, host: string): string[] {
  const names = [host.replace(/:(\d+)$/, "_$1_"), host, "_default"];
  return [...new Set(names)].map((name) => join(directory, name, "hosts.toml"));
}

/**
 * The endpoints of a host by `DIRECTORY/HOST/hosts.toml`, in the order to try them: its mirrors, then the server itself. Without
 * such a file only the server. A subset of containerd's format: `server`, and per `[host."URL"]` `capabilities`, `skip_verify`,
 * `ca`; every other key is an error. Throws InvalidArgument with file and key.
 */
export async function readEndpoints(
  host: string,
  directory: string | undefined,
  scheme: "http" | "https" | undefined,
): Promise<Endpoint[]> {
  for (const path of directory === undefined ? [] : candidates(directory, host)) {
    const text = await readFile(path, "utf8").catch((error: unknown) => {
      if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
      throw error;
    });
    if (text !== undefined) return parseHostsToml(text, path, host, scheme);
  }
  return [serverEndpoint(defaultServer(host, scheme))];
}

/** The same for a text that is at hand; `path` is for messages, and what `ca` is relative to. */
export async function parseHostsToml(
  text: string,
  path: string,
  host: string,
  scheme?: "http" | "https",
): Promise<Endpoint[]> {
  const document = parseText(text, path);
  onlyKeys(document, ["server", "host"], path);
  const server = document.server === undefined ? defaultServer(host, scheme) : parseUrl(document.server, path);
  const mirrors = document.host === undefined ? [] : Object.entries(table(document.host, `${path}: host`));
  const endpoints: Endpoint[] = [];
  for (const [url, rules] of mirrors) {
    endpoints.push(await parseMirror(url, table(rules, `${path}: host."${url}"`), path, server));
  }
  // A server that is among the mirrors has its own rules there, and is not tried twice.
  if (endpoints.some((each) => each.url.href === server.href)) return endpoints;
  return [...endpoints, serverEndpoint(server)];
}

async function parseMirror(url: string, rules: Table, path: string, server: URL): Promise<Endpoint> {
  const where = `${path}: host."${url}"`;
  onlyKeys(rules, ["capabilities", "skip_verify", "ca"], where);
  if (rules.skip_verify !== undefined && typeof rules.skip_verify !== "boolean") {
    throw invalid(`${where}.skip_verify: not true or false`);
  }
  const files =
    rules.ca === undefined ? [] : texts(typeof rules.ca === "string" ? [rules.ca] : rules.ca, `${where}.ca`);
  const ca: string[] = [];
  for (const file of files) ca.push(await readCertificate(resolve(dirname(path), file), `${where}.ca`));
  const parsed = parseUrl(url, where);
  return {
    url: parsed,
    capabilities: new Set(parseCapabilities(rules.capabilities, where)),
    skipVerify: rules.skip_verify === true,
    ca,
    isMirror: parsed.href !== server.href,
  };
}

function parseCapabilities(value: unknown, where: string): readonly Capability[] {
  if (value === undefined) return CAPABILITIES;
  return texts(value, `${where}.capabilities`).map((name) => {
    const capability = CAPABILITIES.find((each) => each === name);
    if (capability !== undefined) return capability;
    throw invalid(`${where}.capabilities: ${JSON.stringify(name)} is unknown; "pull", "resolve", "push"`);
  });
}

async function readCertificate(file: string, where: string): Promise<string> {
  const text = await readFile(file, "utf8").catch((cause: unknown) => {
    throw invalid(`${where} ${JSON.stringify(file)}: ${messageOf(cause)}`);
  });
  if (text.includes("-----BEGIN CERTIFICATE-----")) return text;
  throw invalid(`${where} ${JSON.stringify(file)}: no certificate in PEM`);
}

function serverEndpoint(url: URL): Endpoint {
  return { url, capabilities: new Set(CAPABILITIES), skipVerify: false, ca: [], isMirror: false };
}

/** `mirror:5000`, `https://mirror`, `https://mirror/path`: the API is below `/v2`, which is added if it is not there. */
function parseUrl(value: unknown, where: string): URL {
  const text = typeof value === "string" ? value : "";
  const url = URL.parse(/^[a-z]+:\/\//.test(text) ? text : `https://${text}`);
  if (url === null || !/^https?:$/.test(url.protocol) || url.host === "" || url.search !== "" || url.username !== "") {
    throw invalid(`${where}: ${JSON.stringify(value)} is not a URL of a registry`);
  }
  const path = url.pathname.replace(/\/+$/, "");
  url.pathname = path.endsWith("/v2") ? path : `${path}/v2`;
  return url;
}

function parseText(text: string, path: string): Table {
  try {
    return parse(text);
  } catch (cause) {
    throw invalid(`${path}: ${messageOf(cause).split("\n")[0]}`);
  }
}

function onlyKeys(value: Table, known: readonly string[], where: string): void {
  for (const key of Object.keys(value)) {
    if (!known.includes(key)) throw invalid(`${where}: ${JSON.stringify(key)} is unknown; ${known.join(", ")}`);
  }
}

function table(value: unknown, where: string): Table {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Table;
  throw invalid(`${where}: not a table`);
}

function texts(value: unknown, where: string): string[] {
  if (Array.isArray(value) && value.every((each) => typeof each === "string")) return value;
  throw invalid(`${where}: not a list of strings`);
}

function invalid(message: string): ManagerError {
  return new ManagerError(Code.InvalidArgument, `${message}: invalid argument`);
}
