import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { runDocument } from "../harness/doc-blocks.ts";
import { endTaskServers, isThrowAway } from "../harness/throw-away.ts";

const ROOT = join(import.meta.dirname, "../..");
const TOUR = join(ROOT, "docs/tour.md");

if (isThrowAway(import.meta.filename, ROOT))
  test("the tour: every command works as printed, and shows what is said", { timeout: 120_000 }, async () => {
    try {
      const { commands, promises } = await runDocument(TOUR, ROOT);
      assert.ok(commands > 12 && promises > 12);
    } finally {
      endTaskServers();
    }
  });
