import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { type Cgroup, type Native, type OomWatch, openPidfd, SyscallError } from "@trimaran/linux";

// poll.h, sys/eventfd.h, sys/inotify.h
const POLLIN = 1;
const POLLFD_BYTES = 8;
const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;
const IN_MODIFY = 2;
const EINTR = 4;
/** v1 tells that memory is out before it kills, and counts that: how often, and how long, we look for the kill. */
const LOOK_AGAIN_MS = 50;
const LOOKS = 40;

type Poll = ReturnType<ReturnType<Native["library"]>["later"]>;

/** What is told. */
export interface EventListener {
  /** At once, then at each interval. */
  onTick(): void;
  /** The kernel has killed for memory, once or several times since the last call. */
  onOom(): void;
}

/**
 * Tell of a container's OOM kills, and tick, until its init has ended. Waits in the kernel: between ticks nothing runs. Throws SyscallError, ESRCH
 * where init is gone.
 */
export async function followEvents(
  native: Native,
  { pid, cgroup, intervalMs }: { readonly pid: number; readonly cgroup: Cgroup; readonly intervalMs: number },
  listener: EventListener,
): Promise<void> {
  using opened = new DisposableStack();
  const init = opened.adopt(openPidfd(native, pid), closeSync);
  const watch = cgroup.oomWatch();
  const oom = watch === undefined ? -1 : openWatch(native, watch, opened); // poll leaves negative ones out
  const call = native.library("libc.so.6").later("int poll(void *, unsigned long, int)");
  let kills = cgroup.oomKills();
  let looks = 0;
  let nextTickMs = performance.now();
  for (let isOver = false; !isOver; ) {
    if (performance.now() >= nextTickMs) {
      listener.onTick();
      nextTickMs += intervalMs;
    }
    const waitMs = Math.max(0, Math.ceil(nextTickMs - performance.now()));
    const [hasEnded = false, hasNews = false] = await poll(
      call,
      [init, oom],
      looks > 0 ? Math.min(waitMs, LOOK_AGAIN_MS) : waitMs,
    );
    if (hasNews) {
      drain(oom);
      looks = LOOKS;
    }
    const now = cgroup.oomKills();
    if (now > kills) listener.onOom();
    looks = now > kills ? 0 : Math.max(0, looks - 1);
    kills = Math.max(kills, now);
    isOver = hasEnded;
  }
}

/** A descriptor that is readable when there may have been a kill. The stack closes what is opened. */
function openWatch(native: Native, watch: OomWatch, opened: DisposableStack): number {
  const own = (fd: number) => opened.adopt(fd, closeSync);
  if (watch.kind === "inotify") {
    const inotify = own(native.check("inotify_init1", [EFD_CLOEXEC | EFD_NONBLOCK]));
    native.check("inotify_add_watch", [inotify, Buffer.from(`${watch.path}\0`), IN_MODIFY], watch.path);
    return inotify;
  }
  const event = own(native.check("eventfd2", [0, EFD_CLOEXEC | EFD_NONBLOCK]));
  const control = own(openSync(watch.oomControl, "r"));
  writeSync(own(openSync(watch.eventControl, "w")), `${event} ${control}`);
  return event;
}

/** Which of them are readable, after at most that time. Throws SyscallError. */
async function poll(call: Poll, fds: readonly number[], timeoutMs: number): Promise<readonly boolean[]> {
  const list = Buffer.alloc(fds.length * POLLFD_BYTES);
  fds.forEach((fd, i) => {
    list.writeInt32LE(fd, i * POLLFD_BYTES);
    list.writeInt16LE(POLLIN, i * POLLFD_BYTES + 4);
  });
  if ((await call(list, fds.length, timeoutMs)) < 0) throw new SyscallError(EINTR, "poll"); // nothing else can be: the list is good
  return fds.map((_, i) => (list.readInt16LE(i * POLLFD_BYTES + 6) & POLLIN) !== 0);
}

function drain(fd: number): void {
  try {
    readSync(fd, Buffer.alloc(4096));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
  }
}
