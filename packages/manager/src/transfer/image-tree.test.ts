import assert from "node:assert/strict";
import { test } from "node:test";
import { Code, ManagerError } from "../errors/manager-error.ts";
import type { Descriptor } from "./descriptor.ts";
import { readTree } from "./image-tree.ts";
import { ImageFixture, OCI } from "./testing/image-fixture.ts";

/** How often documents are read, or looked for, until the tree is there or refused. */
async function countReads(fixture: ImageFixture, root: Descriptor): Promise<number> {
  let reads = 0;
  const read = async ({ digest }: Descriptor): Promise<Buffer> => {
    reads++;
    if (reads > 100_000) throw new Error("without end");
    const blob = fixture.blobs.get(digest);
    if (blob === undefined) throw new ManagerError(Code.NotFound, `${digest}: not found`);
    return blob;
  };
  await readTree(root, read).catch((error: unknown) => assert.ok(error instanceof ManagerError, String(error)));
  return reads;
}

/** An index that names the one below it so often, to the depth that is allowed, with `leaf` at the end. */
function fan(fixture: ImageFixture, leaf: object, times: number): Descriptor {
  let below = leaf;
  for (let depth = 0; depth < 4; depth++)
    below = fixture.document(OCI.index, { schemaVersion: 2, manifests: Array.from({ length: times }, () => below) });
  return below as Descriptor;
}

test("CVE-2026-53493: an index that names one index a thousand times, that another: each is read once, also where all leads to nothing", async () => {
  const fixture = new ImageFixture();
  assert.ok((await countReads(fixture, fan(fixture, fixture.image(["a"]), 1000))) < 10);
  const missing = { mediaType: OCI.manifest, digest: `sha256:${"0".repeat(64)}`, size: 5 };
  assert.ok((await countReads(fixture, fan(fixture, missing, 1000))) < 10);
});
