import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { criu, WireError } from "@trimaran/proto";
import { goOn } from "./requests.ts";
import { CriuService, type Notice } from "./service.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "criu-service-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const message = () => join(folder, "service.message");
const notice = (script: string) =>
  criu.CriuResp.encode({ type: criu.CriuReqType.NOTIFY, success: true, notify: { script, pid: 7 } });

/** A criu that has said all of this already; which answers it got. */
function saying(...messages: Uint8Array[]) {
  const answers: boolean[] = [];
  const run = async (program: Uint8Array) => {
    const answer = [true, false].find((may) => isIn(program, goOn(may)));
    if (existsSync(message()) && answer !== undefined) {
      answers.push(answer);
      rmSync(message());
      return { errno: 0, value: 2n };
    }
    const next = messages.shift();
    if (next === undefined) return { errno: 0, value: 0n };
    writeFileSync(message(), next);
    return { errno: 0, value: BigInt(next.length) };
  };
  return { answers, service: new CriuService({ run }, folder) };
}

/** An answer is a whole string of the program's data, padded with zeros. */
function isIn(program: Uint8Array, bytes: Uint8Array): boolean {
  return Buffer.from(program).includes(Buffer.concat([bytes, Buffer.alloc(4)]));
}

test("a message that an earlier task server has not answered is heeded, and answered, before what comes", async () => {
  writeFileSync(join(folder, "service.asked"), "");
  writeFileSync(message(), notice("post-restore"));
  const seen: Notice[] = [];
  const { answers, service } = saying(
    notice("post-resume"),
    criu.CriuResp.encode({ type: criu.CriuReqType.RESTORE, success: true }),
  );
  const never = () => assert.fail("it was asked before");
  await service.call(never, async (each) => void seen.push(each));
  assert.deepEqual(
    seen.map(({ script, pid }) => [script, pid]),
    [
      ["post-restore", 7],
      ["post-resume", 7],
    ],
  );
  assert.deepEqual(answers, [true, true]);
});

test("what heed throws, and a message that is none: criu may not go on, and that is thrown when all is said", async () => {
  writeFileSync(join(folder, "service.asked"), "");
  const refused = saying(notice("pre-restore"), notice("post-restore"), notice("post-resume"));
  const heed = async ({ script }: Notice) => assert.notEqual(script, "post-restore");
  await assert.rejects(
    refused.service.call(() => Buffer.alloc(0), heed),
    /post-restore/,
  );
  assert.deepEqual(refused.answers, [true, false, false]);
  const garbled = saying(Buffer.from([0x0a, 0xff]));
  await assert.rejects(
    garbled.service.call(
      () => Buffer.alloc(0),
      async () => {},
    ),
    WireError,
  );
  assert.deepEqual(garbled.answers, [false]);
});
