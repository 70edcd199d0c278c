import assert from "node:assert/strict";
import { test } from "node:test";
import { collect } from "../../testing/collect.ts";
import { randomNumbers } from "../../testing/random.ts";
import { mutate } from "../testing/hostile-layers.ts";
import { StreamSource } from "./byte-source.ts";
import { TarDecoder } from "./tar-decoder.ts";
import { TarError } from "./tar-header.ts";
import { readTar } from "./tar-reader.ts";

const ROUNDS = 3000;

interface Outcome {
  readonly members: readonly string[];
  readonly failed: boolean;
}

/** Member and content, or that it is no archive. Anything but a TarError is a bug. */
async function outcome(run: (members: string[]) => Promise<void>): Promise<Outcome> {
  const members: string[] = [];
  try {
    await run(members);
    return { members, failed: false };
  } catch (error) {
    assert.ok(error instanceof TarError, String(error));
    return { members, failed: true };
  }
}

function pulled(bytes: Buffer): Promise<Outcome> {
  return outcome(async (members) => {
    const source = async function* () {
      yield bytes;
    };
    for await (const { name, type, offset, body } of readTar(new StreamSource(source()))) {
      members.push(`${name} ${type} ${offset} ${Buffer.concat(await collect(body())).toString("latin1")}`);
    }
  });
}

function pushed(bytes: Buffer, chunkBytes: number): Promise<Outcome> {
  return outcome(async (members) => {
    let content = "";
    const decoder = new TarDecoder({
      begin: () => {
        content = "";
      },
      data: (chunk) => {
        content += chunk.toString("latin1");
      },
      end: ({ name, type, offset }) => void members.push(`${name} ${type} ${offset} ${content}`),
    });
    for (let at = 0; at < bytes.length; at += chunkBytes) decoder.push(bytes.subarray(at, at + chunkBytes));
    decoder.finish();
  });
}

test(`${ROUNDS} changed archives: both drivers of the parser see the same, however the bytes are cut`, async () => {
  let failures = 0;
  for (let seed = 1; seed <= ROUNDS; seed++) {
    const random = randomNumbers(seed);
    const bytes = mutate(random);
    const expected = await pulled(bytes);
    for (const chunkBytes of [1 + random(700), bytes.length || 1]) {
      assert.deepEqual(await pushed(bytes, chunkBytes), expected, `seed ${seed}`);
    }
    if (expected.failed) failures++;
  }
  assert.ok(failures > ROUNDS / 50 && failures < ROUNDS * 0.9, `${failures} of them were no archives`);
});
