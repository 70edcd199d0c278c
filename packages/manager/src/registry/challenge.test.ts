import assert from "node:assert/strict";
import { test } from "node:test";
import { parseChallenges } from "./challenge.ts";

const plain = (header: string) =>
  parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);

test("one header may hold several challenges, with quotes, blanks and commas in values", () => {
  assert.deepEqual(plain('Bearer realm="https://a/t",service="s, t", scope="r:a:pull,push"'), [
    ["bearer", { realm: "https://a/t", service: "s, t", scope: "r:a:pull,push" }],
  ]);
  assert.deepEqual(plain('Negotiate, Basic realm="a \\"b\\"" , BEARER realm = x'), [
    ["negotiate", {}],
    ["basic", { realm: 'a "b"' }],
    ["bearer", { realm: "x" }],
  ]);
});

test("nonsense gives what was understood before it", () => {
  assert.deepEqual(plain(""), []);
  assert.deepEqual(plain("realm=x"), []);
  assert.deepEqual(plain('Bearer realm="open'), [["bearer", {}]]);
  assert.deepEqual(plain("\u0000"), []);
  assert.deepEqual(plain(`Bearer realm="${"x".repeat(20_000)}"`), []);
});
