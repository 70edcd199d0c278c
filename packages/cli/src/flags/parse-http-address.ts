import { resolve } from "node:path";
import type { HttpAddress } from "@trimaran/manager/metrics";

/** A port of this machine (`127.0.0.1:9464`), or with a / in it the path of a socket. Throws for what other machines reach. */
export async function parseHttpAddress(text: string): Promise<HttpAddress> {
  if (text.includes("/")) return { path: resolve(text) };
  return (await import("@trimaran/manager/metrics")).parseLoopback(text);
}
