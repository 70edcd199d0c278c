import { parseIdentifier } from "../bundles/identifier.ts";
import { Code, hasCode, ManagerError } from "../errors/manager-error.ts";
import { type ClientContainer, toClientContainer } from "./client-container.ts";
import type { ManagerClient } from "./manager-client.ts";

/** By id; undefined if there is none. */
export async function readContainer({ services }: ManagerClient, id: string): Promise<ClientContainer | undefined> {
  try {
    const { container } = await services.containers.get({ id });
    return container === undefined ? undefined : toClientContainer(container);
  } catch (error) {
    if (hasCode(error, Code.NotFound)) return undefined;
    throw error;
  }
}

/** By id, or by the beginning of one if only one begins so. Throws NotFound, InvalidArgument. */
export async function findContainer(client: ManagerClient, idOrPrefix: string): Promise<ClientContainer> {
  const exact = await readContainer(client, parseIdentifier("id", idOrPrefix));
  if (exact !== undefined) return exact;
  const { containers } = await client.services.containers.list({ filters: [] });
  const [match, ...others] = containers.filter(({ id }) => id.startsWith(idOrPrefix));
  if (match !== undefined && others.length === 0) return toClientContainer(match);
  const why = others.length > 0 ? `${others.length + 1} containers begin so` : "no such container";
  throw new ManagerError(Code.NotFound, `container ${JSON.stringify(idOrPrefix)}: ${why}`, {
    hint: "trimaran ps -a",
  });
}
