import assert from "node:assert/strict";
import { test } from "node:test";
import { Code } from "ttrpc-ts";
import { parseStdio } from "./uris.ts";

const none = { stdin: "", stdout: "", stderr: "", terminal: false };

test("empty strings are /dev/null, paths are FIFOs", () => {
  assert.deepEqual(parseStdio({ ...none, stdout: "/f/out" }), {
    stdin: { kind: "null" },
    stdout: { kind: "fifo", path: "/f/out" },
    stderr: { kind: "null" },
    terminal: false,
  });
  assert.deepEqual(parseStdio({ ...none, stdout: "fifo:///f/out" }).stdout, { kind: "fifo", path: "/f/out" });
});

test("stdout's URI decides for stderr", () => {
  const stdio = parseStdio({ ...none, stdout: "file:///var/log/a%20b", stderr: "/ignored" });
  assert.deepEqual(stdio.stderr, { kind: "file", path: "/var/log/a b" });
});

test("a logger gets the query as arguments, in order, a key without value with an empty one", () => {
  const { stdout, stderr } = parseStdio({ ...none, stdout: "binary:///bin/log?z=1&a=2&flag" });
  assert.deepEqual(stdout, {
    kind: "logger",
    path: "/bin/log",
    args: ["z", "1", "a", "2", "flag", ""],
    mustReportReady: false,
  });
  assert.deepEqual(stderr, stdout);
  assert.partialDeepStrictEqual(parseStdio({ ...none, stdout: "binary-v2:///l" }).stdout, { mustReportReady: true });
});

test("with a terminal there is no stderr", () => {
  assert.deepEqual(parseStdio({ stdin: "/i", stdout: "/o", stderr: "/e", terminal: true }).stderr, { kind: "null" });
});

test("an unknown scheme and a relative path are errors that name the stream", () => {
  assert.throws(() => parseStdio({ ...none, stdout: "ftp://x" }), {
    code: Code.InvalidArgument,
    message: /stdout .*unknown STDIO scheme ftp/,
  });
  assert.throws(() => parseStdio({ ...none, stderr: "err" }), { message: 'stderr "err": not an absolute path' });
});

test("a % that is none of a URI is a bad request, not a bug of ours", () => {
  for (const stdout of ["file:///a%b", "fifo:///%", "binary:///%zz"])
    assert.throws(() => parseStdio({ ...none, stdout }), { code: Code.InvalidArgument });
});
