import type { Host, MonitoredProcess } from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";

const ADOPTED = "adopt/";

/**
 * The sandbox processes of each pod. `runsc create` leaves its sandbox to the monitor, which is a subreaper and adopts it: its exit status
 * is that of its first container, so that no `runsc wait` has to stay for it.
 */
export class Sandboxes {
  readonly #known = new WeakMap<Host, Map<number, MonitoredProcess>>();

  /** The sandbox of that pid, adopted when it is first asked for. Rejects `spawned()` where it is no child of the monitor any more. */
  process(host: Host, pid: number): MonitoredProcess {
    const known = this.#known.get(host) ?? new Map<number, MonitoredProcess>();
    this.#known.set(host, known);
    const process =
      known.get(pid) ??
      host.launch(`${ADOPTED}${pid}`, {
        program: new Uint8Array(0),
        describe: () => new StatusError(Code.Unavailable, "the sandbox has ended"),
      });
    known.set(pid, process);
    return process;
  }

  /** Its first container is deleted. */
  forget(host: Host, pid: number): void {
    this.#known.get(host)?.delete(pid);
    host.forget(`${ADOPTED}${pid}`);
  }
}
