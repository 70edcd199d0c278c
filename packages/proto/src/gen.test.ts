import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { generate } from "../generator/generate.ts";
import { loadProtos } from "../generator/load.ts";

test("generating again gives no diff", () => {
  const output = generate(loadProtos(join(import.meta.dirname, "../../../proto")));
  for (const [name, text] of Object.entries(output)) {
    const committed = readFileSync(join(import.meta.dirname, "gen", name), "utf8");
    assert.ok(committed === text, `src/gen/${name} is stale; run: node packages/proto/generate.ts`);
  }
});
