import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../errors/manager-error.ts";
import type { CredentialSource, Credentials } from "../registry/credentials.ts";
import { parseObject } from "../transfer/descriptor.ts";
import { parseJson } from "../transfer/document.ts";

/** docker's own name for Docker Hub. */
const HUB_KEYS = ["https://index.docker.io/v1/", "index.docker.io", "docker.io"];
const HUB_HOSTS = new Set(["docker.io", "registry-1.docker.io", "index.docker.io"]);

/**
 * The credentials that `docker login` has left in `DIRECTORY/config.json` (auths only: helpers are programs of others). Asked only when
 * a registry wants to know who we are. Throws InvalidArgument for a file that is broken, without its content.
 */
export function dockerCredentials(directory: string): CredentialSource {
  return async ({ host }) => {
    const path = join(directory, "config.json");
    const text = await readFile(path).catch((error: unknown) => {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    });
    if (text === undefined) return undefined;
    const { auths = {} } = parseJson(text, path);
    const known = parseObject(auths, `${path}: auths`);
    const keys = HUB_HOSTS.has(host) ? HUB_KEYS : [host, `https://${host}`, `http://${host}`];
    const key = keys.find((each) => known[each] !== undefined);
    return key === undefined ? undefined : parseAuth(parseObject(known[key], `${path}: auths[${JSON.stringify(key)}]`));
  };
}

/** `USER:PASSWORD`, for every host that asks. */
export function fixedCredentials(username: string, secret: string): CredentialSource {
  return async () => ({ kind: "password", username, secret });
}

function parseAuth({ auth, identitytoken }: Readonly<Record<string, unknown>>): Credentials | undefined {
  if (typeof identitytoken === "string" && identitytoken !== "") return { kind: "refresh", token: identitytoken };
  if (typeof auth !== "string") return undefined;
  const [username = "", ...rest] = Buffer.from(auth, "base64").toString("utf8").split(":");
  return username === "" ? undefined : { kind: "password", username, secret: rest.join(":") };
}
