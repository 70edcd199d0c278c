import type { OciMount, OciUser } from "./oci-spec.ts";

/** What may be asked of a container beyond the defaults. Everything is optional; sizes are bytes. */
export interface ContainerOptions {
  readonly terminal?: boolean | undefined;
  /** `K=V`; a later one replaces an earlier one and the image's. */
  readonly env?: readonly string[] | undefined;
  readonly mounts?: readonly OciMount[] | undefined;
  readonly memoryLimitBytes?: number | undefined;
  /** CPUs' worth of time, 0.01 and up. */
  readonly cpus?: number | undefined;
  readonly pidsLimit?: number | undefined;
  /** `USER[:GROUP]`, names or numbers; looked up in the rootfs. */
  readonly user?: string | undefined;
  readonly cwd?: string | undefined;
  readonly hostname?: string | undefined;
  readonly hostNetwork?: boolean | undefined;
  readonly readOnly?: boolean | undefined;
  readonly privileged?: boolean | undefined;
  readonly capAdd?: readonly string[] | undefined;
  readonly capDrop?: readonly string[] | undefined;
}

/** What an image, or nothing, gives as a start. */
export interface ImageDefaults {
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workingDir: string;
  readonly user: string;
}

export const NO_IMAGE_DEFAULTS: ImageDefaults = { env: [], entrypoint: [], cmd: [], workingDir: "", user: "" };

/** Turns `USER[:GROUP]` into numbers by the rootfs's own passwd and group files. */
export type UserLookup = (user: string) => Promise<OciUser>;
