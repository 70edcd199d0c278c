import type { OomWatch, ProgramBuilder } from "@trimaran/linux";
import { SLOT } from "../stdio/slots.ts";

const AT_FDCWD = -100;
const O_RDONLY = 0;
const O_WRONLY = 1;
const O_CLOEXEC = 0o2000000;
const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;
const IN_MODIFY = 2;
/** STORE's format: ten digits with leading zeros. */
const STORE_TEN_DIGITS = 12;
const DIGITS = 10;

/** Such steps, too: the count of kills in the last slot, for a cgroup that is removed as soon as it is empty. */
export function keepOomCount(builder: ProgramBuilder, watch: OomWatch): void {
  builder.field = "oom count";
  const path = watch.kind === "inotify" ? watch.path : watch.oomControl;
  const file = builder.call("openat", [AT_FDCWD, builder.data.string(path), O_RDONLY | O_CLOEXEC, 0]);
  builder.op("KEEP", [file, SLOT.last]);
  builder.release(file);
}

/**
 * Steps that run in the monitor before the clone, and leave a descriptor in the watch slot that becomes readable at an OOM kill. A host
 * that refuses (no memory controller, no more inotify instances) has no OOM events before the exit; kills are counted all the same.
 */
export function watchOom(builder: ProgramBuilder, watch: OomWatch): void {
  builder.field = "oom watch";
  const { data } = builder;
  if (watch.kind === "inotify") {
    const inotify = builder.call("inotify_init1", [EFD_CLOEXEC | EFD_NONBLOCK]);
    builder.sys("inotify_add_watch", [inotify, data.string(watch.path), IN_MODIFY]);
    builder.op("KEEP", [inotify, SLOT.watch]);
    builder.release(inotify);
    return;
  }
  const event = builder.call("eventfd2", [0, EFD_CLOEXEC | EFD_NONBLOCK]);
  const control = builder.call("openat", [AT_FDCWD, data.string(watch.oomControl), O_RDONLY | O_CLOEXEC, 0]);
  const registration = builder.call("openat", [AT_FDCWD, data.string(watch.eventControl), O_WRONLY | O_CLOEXEC, 0]);
  // cgroup.event_control takes "EVENTFD FD", one blank between; leading zeros put both numbers at known places.
  const text = data.bytes(Buffer.from(" ".repeat(2 * DIGITS + 1)), 1);
  builder.op("STORE", [event, text.offset, STORE_TEN_DIGITS]);
  builder.op("STORE", [control, text.offset + DIGITS + 1, STORE_TEN_DIGITS]);
  builder.sys("write", [registration, text, 2 * DIGITS + 1]);
  builder.op("KEEP", [event, SLOT.watch]);
  builder.sys("close", [control]);
  builder.sys("close", [registration]);
  for (const register of [event, control, registration]) builder.release(register);
}
