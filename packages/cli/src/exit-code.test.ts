import assert from "node:assert/strict";
import { test } from "node:test";
import { handledSignals } from "./attach/signal-forwarding.ts";
import { startFailureCode } from "./exit-code.ts";

test("the shim's words tell 126 and 127 from 125", () => {
  const cases: [string, number][] = [
    [
      'OCI runtime create failed: unable to start container process: exec: "/nope": stat /nope: no such file or directory',
      127,
    ],
    ['exec: "nope": executable file not found in $PATH', 127],
    ['process.args[0] "/etc/passwd": exec: "/etc/passwd": permission denied', 126],
    ['process.args[0] "/x": exec format error (ENOEXEC from execve)', 126],
    ['mounts[3] "/data": source does not exist (ENOENT from open_tree)', 125],
    ["ttrpc: closed", 125],
  ];
  for (const [message, code] of cases) assert.equal(startFailureCode(new Error(message)), code, message);
});

test("the masks of /proc/PID/status say which signals are handled", () => {
  const status = "Name:\tsh\nSigBlk:\tffffffffffffffff\nSigIgn:\t0000000000000002\nSigCgt:\t0000000100004000\n";
  assert.deepEqual([...handledSignals(status)], [2, 15, 33]);
});
