import { mergeEnv } from "../spec/build-spec.ts";
import type { OciProcess } from "../spec/oci-spec.ts";
import { parseOciSpec } from "../spec/parse-spec.ts";
import { type ClientContainer, specText } from "./client-container.ts";
import type { ManagerClient } from "./manager-client.ts";
import { containerDirectories, lookupUser } from "./rootfs-directories.ts";

/** What a further process in a container is to be like; what is not said is as in the container's own. */
export interface ExecRequest {
  readonly args: readonly string[];
  readonly terminal: boolean;
  /** `K=V`; replaces the container's. */
  readonly env: readonly string[];
  readonly cwd: string | undefined;
  /** `USER[:GROUP]`, looked up in the container's files as they are now. */
  readonly user: string | undefined;
}

/** The container's own process, with what is asked for changed: same capabilities, limits and environment. */
export async function execProcess(
  client: ManagerClient,
  container: ClientContainer,
  { args, terminal, env, cwd, user }: ExecRequest,
): Promise<OciProcess> {
  const { process } = parseOciSpec(
    `container ${JSON.stringify(container.id)}: spec`,
    specText(container.record) ?? "{}",
  );
  return {
    ...process,
    args: [...args],
    terminal,
    env: mergeEnv(process.env, terminal ? ["TERM=xterm"] : [], env),
    cwd: cwd ?? process.cwd,
    user: user === undefined ? process.user : await lookupUser(user, await containerDirectories(client, container)),
  };
}
