import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** A criu that says when it begins, and waits a little: a task server that dies meanwhile is found dead in time. */
export async function slowCriu(criu: string) {
  const path = await mkdtemp(join(tmpdir(), "slow-criu-"));
  const script = `#!/bin/sh\ntouch ${path}/$1\nsleep 0.5\nexec ${criu} "$@"\n`;
  await writeFile(join(path, "criu"), script, { mode: 0o755 });
  return {
    /** For PATH. */
    path,
    /** `swrk`: it serves. */
    async reached(verb: "dump" | "restore" | "swrk") {
      while (!existsSync(join(path, verb))) await delay(5);
      await rm(join(path, verb));
    },
    remove: () => rm(path, { recursive: true, force: true }),
  };
}
