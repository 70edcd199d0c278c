import { listContainers } from "@trimaran/manager";
import type { CliContext } from "../cli-context.ts";

/** Ids of containers that begin so; none if they can't be had, since nobody reads an error while typing. */
export async function proposeContainers(this: CliContext, partial: string): Promise<readonly string[]> {
  try {
    await using client = await this.openClient({}, "read");
    return (await listContainers(client)).map(({ container }) => container.id).filter((id) => id.startsWith(partial));
  } catch {
    return [];
  }
}

/** Names of images that begin so; also those of which only Docker Hub's own part is left out. */
export async function proposeImages(this: CliContext, partial: string): Promise<readonly string[]> {
  try {
    await using client = await this.openClient({}, "read");
    const { images } = await client.services.images.list({ filters: [] });
    return images
      .flatMap(({ name }) => [name, name.replace(/^docker\.io\/(?:library\/)?/, "")])
      .filter((name, index, all) => name.startsWith(partial) && all.indexOf(name) === index);
  } catch {
    return [];
  }
}
