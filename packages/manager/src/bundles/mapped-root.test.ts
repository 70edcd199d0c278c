import assert from "node:assert/strict";
import { test } from "node:test";
import { mappedRootGid } from "./mapped-root.ts";

test("the group that root has outside; none where nothing is mapped, or the spec is no spec", () => {
  const mapped = {
    linux: {
      gidMappings: [
        { containerID: 1, hostID: 5 },
        { containerID: 0, hostID: 100_000, size: 9 },
      ],
    },
  };
  assert.equal(mappedRootGid(JSON.stringify(mapped)), 100_000);
  assert.equal(mappedRootGid(Buffer.from(JSON.stringify(mapped))), 100_000);
  for (const other of ["{}", "", "null", "[", '{"linux":{"gidMappings":{}}}', '{"linux":{"gidMappings":[null]}}'])
    assert.equal(mappedRootGid(other), 0, other);
  assert.equal(mappedRootGid('{"linux":{"gidMappings":[{"containerID":0,"hostID":-7}]}}'), 0);
});
