import type { Command } from "../context.ts";

/** A verb of runc's that we do not have: an error, never a success that did nothing. */
export function unimplemented(verb: string): Command {
  return async () => {
    throw new Error(`${verb}: not implemented: checkpoints need CRIU, which is not supported yet`);
  };
}
