import type { google } from "@trimaran/proto";
import type { StartStyle } from "../shim/start.ts";

/** The shim under test, and how it is driven. */
export interface Target {
  /** Path of the binary. */
  readonly binary: string;
  /** The containerd that is imitated where a check does not ask for another. */
  readonly style: StartStyle;
  /** A folder with a Linux userland whose /bin/sh is busybox's or like it. It is not written to. */
  readonly rootfs: string;
  /** Runtime options, on stdin of `start`. */
  readonly options?: google.protobuf.Any;
  /** Added to the shim's environment. */
  readonly env?: NodeJS.ProcessEnv;
  /** How long one call, or one thing that is waited for, may take. In milliseconds. */
  readonly limitMs: number;
}
