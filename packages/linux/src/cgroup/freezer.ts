import { setTimeout as sleep } from "node:timers/promises";
import { errnoOf } from "../syscall/errno.ts";
import { CgroupError, toCgroupError } from "./error.ts";
import { isAbsent, readSmallFile, writeCgroupFile } from "./files.ts";

const FIELD = "pause";

/** How one cgroup is frozen: the same on the unified tree (v2, hybrid) and by v1's freezer controller. */
export interface Freezer {
  /** Resolves when every process is frozen. Throws CgroupError (and thaws) if they do not within the bound or on abort. */
  freeze(signal?: AbortSignal): Promise<void>;
  /** Gone already is success. */
  thaw(): void;
  /** Whether this cgroup itself was frozen; an ancestor's freezing does not count. False if it is gone. */
  isFrozen(): boolean;
}

/** By `cgroup.freeze` of `directory`. Waits at most 10 s. */
export function unifiedFreezer(directory: string): Freezer {
  const set = (text: string) => write(`${directory}/cgroup.freeze`, text);
  return {
    async freeze(signal) {
      if (!set("1")) throw new CgroupError(FIELD, "the cgroup is gone");
      const done = () => /^frozen 1$/m.test(readSmallFile(`${directory}/cgroup.events`));
      await waitOrThaw(done, () => set("0"), signal);
    },
    thaw: () => void set("0"),
    isFrozen: () => readOr(`${directory}/cgroup.freeze`, "0") === "1",
  };
}

/**
 * By `freezer.state` of `directory`. A fork during the freeze can leave FREEZING for ever: write again, and every 50th time
 * thaw for 10 ms, 1000 times at most. Source: runc, runtime checklist 3.4.
 */
export function v1Freezer(directory: string): Freezer {
  const state = `${directory}/freezer.state`;
  return {
    async freeze(signal) {
      let tries = 0;
      const done = async () => {
        if (tries > 0 && tries % 50 === 0) {
          write(state, "THAWED");
          await sleep(10);
        }
        tries++;
        if (!write(state, "FROZEN")) throw new CgroupError(FIELD, "the cgroup is gone");
        return readSmallFile(state) === "FROZEN";
      };
      await waitOrThaw(done, () => write(state, "THAWED"), signal);
    },
    thaw: () => void write(state, "THAWED"),
    isFrozen: () => readOr(state, "") === "FROZEN" && readOr(`${directory}/freezer.self_freezing`, "0") === "1",
  };
}

async function waitOrThaw(
  done: () => boolean | Promise<boolean>,
  thaw: () => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  try {
    for (let tries = 0; !(await done()); tries++) {
      signal?.throwIfAborted();
      if (performance.now() > deadlineMs) throw new CgroupError(FIELD, "processes are still not frozen after 10 s");
      await sleep(tries < 10 ? 0 : Math.min(10, tries - 9)); // most freeze at once, one in a system call may take ms
    }
  } catch (error) {
    thaw();
    throw error;
  }
}

/** False if the cgroup is gone. */
function write(path: string, text: string): boolean {
  try {
    writeCgroupFile(path, text);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENODEV") return false;
    throw toCgroupError(error, FIELD, "refused", path);
  }
}

function readOr(path: string, absent: string): string {
  try {
    return readSmallFile(path);
  } catch (error) {
    if (isAbsent(error)) return absent;
    throw error;
  }
}
