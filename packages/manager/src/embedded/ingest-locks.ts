import { closeSync, constants, fstatSync, mkdirSync, openSync, statSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import type { IngestLock } from "../content/content-files.ts";
import type { Syscalls } from "../host/syscalls.ts";

/** Locks of ingests between processes: a file for each in `folder`, there for as long as it is held. */
export function ingestLocks(folder: string, syscalls: () => Syscalls): IngestLock {
  return {
    take(key) {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      const path = join(folder, key);
      for (;;) {
        const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
        if (!syscalls().tryFlock(fd)) {
          closeSync(fd);
          return undefined;
        }
        // Its last holder may have removed it between our open and our lock: then it locks nothing.
        if (fstatSync(fd).ino === statSync(path, { throwIfNoEntry: false })?.ino) return release(path, fd);
        closeSync(fd);
      }
    },
  };
}

function release(path: string, fd: number): Disposable {
  let isHeld = true;
  return {
    [Symbol.dispose]: () => {
      if (!isHeld) return;
      isHeld = false;
      unlinkSync(path);
      closeSync(fd);
    },
  };
}
