import { timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ManagerClient } from "@trimaran/manager";
import {
  type HttpAddress,
  type HttpAnswer,
  type HttpRequest,
  type HttpServer,
  serveHttp,
} from "@trimaran/manager/metrics";
import { readContainerPage } from "./container-page.ts";
import { readNamespaceSets } from "./namespace-sets.ts";
import { readOverview } from "./overview.ts";

/** What the page is served with. */
export interface UiOptions {
  readonly address: HttpAddress;
  /** Whoever sends it may look: every user of this machine reaches loopback. At least 16 bytes that nobody can guess, as text. */
  readonly token: string;
  /** Where the page's files are: index.html, ui.js, ui.css. */
  readonly pageDirectory: string;
  /** Where task servers have their directories. */
  readonly taskServers: string;
  /** A client for one answer: the page must find a daemon that was started after it. */
  openClient(): Promise<ManagerClient>;
}

const PAGE_FILES: Readonly<Record<string, readonly [file: string, type: string]>> = {
  "/": ["index.html", "text/html; charset=utf-8"],
  "/ui.js": ["ui.js", "text/javascript; charset=utf-8"],
  "/ui.css": ["ui.css", "text/css; charset=utf-8"],
};

/** Nothing from elsewhere, nothing inline, and no way from text to HTML: names of containers and files are hostile. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

/** Serve the page. It only looks: there is no request that changes anything. */
export function serveUi(options: UiOptions): Promise<HttpServer> {
  return serveHttp(options.address, (request) => answer(options, request));
}

async function answer(options: UiOptions, request: HttpRequest): Promise<HttpAnswer> {
  const page = PAGE_FILES[request.path];
  if (page !== undefined) {
    const [file, type] = page;
    const body = await readFile(join(options.pageDirectory, file));
    return { status: 200, type, body, headers: { "Content-Security-Policy": POLICY } };
  }
  if (!isToken(options.token, request.authorization))
    return { status: 401, type: "text/plain", body: "the address that trimaran ui has printed has a token\n" };
  const read = readerOf(options, request);
  if (read === undefined) return { status: 404, type: "text/plain", body: "no such page\n" };
  await using client = await options.openClient();
  return { status: 200, type: "application/json", body: JSON.stringify(await read(client)) };
}

function readerOf(options: UiOptions, { path, query }: HttpRequest): ((client: ManagerClient) => object) | undefined {
  switch (path) {
    case "/api/overview":
      return (client) => readOverview(client, options.taskServers);
    case "/api/container":
      return (client) => readContainerPage(client, query.get("id") ?? "");
    case "/api/namespaces":
      return readNamespaceSets;
    default:
      return undefined;
  }
}

function isToken(token: string, authorization: string): boolean {
  const [wanted, given] = [Buffer.from(`Bearer ${token}`), Buffer.from(authorization)];
  return wanted.length === given.length && timingSafeEqual(wanted, given);
}
