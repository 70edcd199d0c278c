import { join } from "node:path";
import type { RegistryAccess } from "@trimaran/manager";
import { dockerCredentials, fixedCredentials, parsePlatformText } from "@trimaran/manager/images";
import type { CliContext, ManagerFlags } from "../../cli-context.ts";

/** Flags of pull and push. */
export interface RegistryFlags extends ManagerFlags {
  readonly platform?: readonly string[];
  readonly user?: string;
  readonly plainHttp: boolean;
  readonly hostsDir?: string;
  readonly quiet: boolean;
}

const HOSTS_DIRECTORY = "/etc/containerd/certs.d";

/** What the flags, the environment and docker's own configuration say about registries. Throws RangeError. */
export function registryAccess({ environment }: CliContext, flags: RegistryFlags) {
  const [username = "", ...password] = (flags.user ?? "").split(":");
  const secret = password.length > 0 ? password.join(":") : (environment.TRIMARAN_PASSWORD ?? "");
  const docker = environment.DOCKER_CONFIG ?? join(environment.HOME ?? "/root", ".docker");
  const access: RegistryAccess = {
    plainHttp: flags.plainHttp,
    hostDirectory: flags.hostsDir ?? HOSTS_DIRECTORY,
    credentials: username === "" ? dockerCredentials(docker) : fixedCredentials(username, secret),
  };
  return { ...access, platforms: (flags.platform ?? []).map(parsePlatformText) };
}
