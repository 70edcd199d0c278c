import { closeSync, openSync } from "node:fs";
import { lazyNative } from "../syscall/native.ts";

const CLONE_NEWNET = 0x40000000;
const OWN = "/proc/thread-self/ns/net";

/**
 * Do something in another network namespace, on this thread, which comes back before anything else runs: `work` is synchronous. Sockets that it
 * opens stay there. Throws what it throws; SyscallError where the namespace can't be entered. Should the way back fail, the process ends: it would
 * work in a foreign network from then on.
 */
export function inNetworkNamespace<T>(path: string, work: () => T): T {
  const native = lazyNative();
  const own = openSync(OWN, "r");
  try {
    const target = openSync(path, "r");
    try {
      native.check("setns", [target, CLONE_NEWNET], path);
    } finally {
      closeSync(target);
    }
    try {
      return work();
    } finally {
      if (native.syscall("setns", own, CLONE_NEWNET) < 0) process.abort();
    }
  } finally {
    closeSync(own);
  }
}
