import assert from "node:assert/strict";
import { test } from "node:test";
import { GreetingFinder, greeting, greetingReply, harmlessLength } from "./agent-greeting.ts";

const nonce = Buffer.from("0123456789abcdef");

test("a greeting is found wherever the bytes are cut, and what follows is kept", () => {
  const old = Buffer.from("rubbish\0trimaran-host and \0tri");
  const all = Buffer.concat([old, greeting(nonce), Buffer.from("frames")]);
  for (let size = 1; size <= all.length; size++) {
    const finder = new GreetingFinder("host");
    const rest: Uint8Array[] = [];
    let found: Uint8Array | undefined;
    for (let at = 0; at < all.length; at += size) {
      const chunk = all.subarray(at, at + size);
      const result = found ? undefined : finder.push(chunk);
      if (result) {
        found = result.nonce;
        rest.push(result.rest);
      } else if (found) rest.push(chunk);
    }
    assert.deepEqual(Buffer.from(found ?? []), nonce, `cut to ${size}`);
    assert.equal(Buffer.concat(rest).toString(), "frames");
  }
});

test("the host's greeting is not taken for the agent's", () => {
  assert.equal(new GreetingFinder("agent").push(greeting(nonce)), undefined);
  assert.ok(new GreetingFinder("agent").push(greetingReply(nonce)));
});

test("a megabyte of the beginning of a mark is not kept", () => {
  const finder = new GreetingFinder("host");
  finder.push(Buffer.alloc(1 << 20));
  const result = finder.push(greeting(nonce));
  assert.equal(result?.rest.length, 0);
});

test("bytes with a mark inside are cut within it", () => {
  const bytes = Buffer.concat([Buffer.from("abc"), greeting(nonce), Buffer.from("def")]);
  const parts: Buffer[] = [];
  for (let rest = bytes; rest.length > 0; ) {
    const length = harmlessLength(rest);
    parts.push(rest.subarray(0, length));
    rest = rest.subarray(length);
  }
  assert.equal(parts.length, 2);
  assert.deepEqual(Buffer.concat(parts), bytes);
  for (const part of parts) assert.equal(new GreetingFinder("host").push(part), undefined);
});
