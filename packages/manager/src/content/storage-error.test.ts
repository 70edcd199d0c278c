import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ManagerError } from "../errors/manager-error.ts";
import { storageStep, toStorageError } from "./storage-error.ts";

const failure = (code: string) => Object.assign(new Error(`${code}: what the system says, write`), { code });

test("a full disk is ResourceExhausted, what else a disk does is Unknown, and the subject is named", async () => {
  for (const [errno, code] of [
    ["ENOSPC", Code.ResourceExhausted],
    ["EDQUOT", Code.ResourceExhausted],
    ["EFBIG", Code.ResourceExhausted],
    ["EIO", Code.Unknown],
    ["EROFS", Code.Unknown],
  ] as const) {
    const cause = failure(errno);
    const step = storageStep('ref "a"', () => Promise.reject(cause));
    await assert.rejects(step, { code, message: `ref "a": ${errno}: what the system says, write`, cause });
  }
  assert.equal(await storageStep("x", async () => 1), 1);
});

test("statuses and bugs pass as they are", () => {
  for (const error of [new ManagerError(Code.NotFound, "x"), new TypeError("x"), "x"]) {
    assert.equal(toStorageError("subject", error), error);
  }
});
