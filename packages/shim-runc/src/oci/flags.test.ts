import assert from "node:assert/strict";
import { test } from "node:test";
import { parseFlags, UsageError } from "./flags.ts";
import { checkId } from "./store.ts";

const TABLE = { bundle: "text", detach: "boolean", env: "list", "preserve-fds": "text" } as const;
const SHORT = { b: "bundle", d: "detach", e: "env" };
const parse = (...words: string[]) => parseFlags(words, TABLE, SHORT);

test("runc's forms: one dash or two, with = or a space, short names, up to the first word", () => {
  const { flags, rest } = parse("-b", "/x", "--env=A=1", "-e", "B=", "-detach", "id", "--bundle", "/y");
  assert.equal(flags.text("bundle"), "/x");
  assert.deepEqual(flags.list("env"), ["A=1", "B="]);
  assert.equal(flags.has("detach"), true);
  assert.deepEqual(rest, ["id", "--bundle", "/y"]);
  assert.deepEqual(parse("--", "-b").rest, ["-b"]);
  assert.deepEqual(parse("-").rest, ["-"]);
  assert.equal(parse("--detach=false").flags.has("detach"), false);
  assert.equal(parse("--bundle", "/a", "--bundle", "/b").flags.text("bundle"), "/b");
  assert.equal(parse("--preserve-fds", "3").flags.integer("preserve-fds"), 3);
});

test("what cannot be meant", () => {
  const cases: [() => unknown, string][] = [
    [() => parse("--nonsense"), "flag provided but not defined: -nonsense"],
    [() => parse("--toString"), "flag provided but not defined: -toString"],
    [() => parse("--bundle"), "flag needs an argument: -bundle"],
    [() => parse("--detach=maybe"), '--detach "maybe": not true or false'],
    [
      () => parse("--preserve-fds=1e3").flags.integer("preserve-fds"),
      '--preserve-fds "1e3": not a whole number from 0 on',
    ],
    [
      () => parse("--preserve-fds=-1").flags.integer("preserve-fds"),
      '--preserve-fds "-1": not a whole number from 0 on',
    ],
  ];
  for (const [call, message] of cases)
    assert.throws(call, (error) => error instanceof UsageError && error.message === message);
});

test("an id is a name, never a path", () => {
  for (const id of ["a", "A_b+c.d-e", "..x", "0".repeat(255)]) checkId(id);
  for (const id of ["", ".", "..", "a/b", "a b", "a\0", "ä", "0".repeat(256)])
    assert.throws(() => checkId(id), /invalid container ID/);
});
