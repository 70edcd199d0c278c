import assert from "node:assert/strict";
import { test } from "node:test";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { fuzzLayer } from "./testing/fuzz-layers.ts";
import { LayerThreads } from "./thread/layer-threads.ts";

/** `npm run fuzz:long` goes on for as long as it is told to. */
const ROUNDS = 200;

test(`${ROUNDS} changed hostile layers stay inside`, async () => {
  using mountRoot = temporaryDirectory();
  await using threads = new LayerThreads({ mountRoot: mountRoot.path });
  let unpacked = 0;
  for (let seed = 1; seed <= ROUNDS; seed++) if (await fuzzLayer(threads, seed)) unpacked++;
  assert.ok(unpacked > ROUNDS / 10 && unpacked < ROUNDS, `${unpacked} were unpacked`);
});
