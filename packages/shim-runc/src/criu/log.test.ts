import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { failureReason, firstError } from "./log.ts";

const LOG = `(00.000000) Unable to get $HOME directory, local configuration file will not be used.
(00.000024) Version: 3.17.1 (gitid 0)
(00.000400) Error (criu/util.c:1533): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted
(00.041000) Warn  (criu/mount.c:1): no Error (here): it is a warning
(00.041001) unix: Error prone, this one
(00.041100)      1: Error (criu/sk-unix.c:856): unix: External socket is used. Consider using --ext-unix-sk option.
(00.041200) Error (criu/cr-dump.c:1781): Dumping FAILED.
`;

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "criu-log-"));
});
after(() => rmSync(folder, { recursive: true, force: true }));

test("the first error counts, with or without a pid before it; warnings and other lines are none", () => {
  assert.equal(
    firstError(LOG),
    "Error (criu/sk-unix.c:856): unix: External socket is used. Consider using --ext-unix-sk option.",
  );
  assert.equal(firstError("(00.1) Error (a.c:1): b\n"), "Error (a.c:1): b");
  assert.equal(
    firstError("(00.1) pie: 12: Error (a.c:1): in the process that is restored\n(00.2) Error (b.c:1): c\n"),
    "Error (a.c:1): in the process that is restored",
  );
  assert.equal(firstError("(00.1) Error (a.c:1): cut off"), "Error (a.c:1): cut off");
  assert.equal(firstError("(00.1)\n Error (a.c:1): b\n"), undefined, "not of one line");
  assert.equal(firstError("(00.1) Error (a\n.c:1): b\n"), undefined);
  assert.equal(firstError(""), undefined);
  assert.equal(firstError("Error (a.c:1): no line of criu's log begins so\n"), undefined);
});

test("without a log the first line of stderr, without one the way it ended", () => {
  const files = { log: join(folder, "log"), stderr: join(folder, "err") };
  assert.equal(failureReason(files, "exit status 1"), "exit status 1 without a word");
  writeFileSync(files.stderr, "\ncriu: unrecognized option '--x'\nmore\n");
  assert.equal(failureReason(files, ""), "criu: unrecognized option '--x'");
  writeFileSync(files.log, LOG);
  assert.match(failureReason(files, ""), /^Error \(criu\/sk-unix/);
});
