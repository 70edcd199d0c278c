import { Code, ManagerError } from "../errors/manager-error.ts";
import type { HttpResponse } from "./http-transport.ts";

/** The whole body of an answer, or ResourceExhausted if it is longer than `limitBytes`. */
export async function readSmallBody(response: HttpResponse, limitBytes: number, what: string): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body()) {
    length += chunk.length;
    if (length > limitBytes) throw new ManagerError(Code.ResourceExhausted, `${what}: longer than ${limitBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
