import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Code } from "ttrpc-ts";
import { findPod, listPods, readOwner, writeOwner } from "./owner-mark.ts";
import { podPlaces } from "./places.ts";

test("a pod is found by its id, by how it begins, and by its namespace; what may mean two is refused", () => {
  const directory = mkdtempSync(join(tmpdir(), "trm-pods-"));
  try {
    assert.deepEqual(listPods(directory), []);
    for (const [namespace, podId] of [
      ["default", "web-1"],
      ["default", "web"],
      ["k8s.io", "web"],
      ["k8s.io", "db"],
    ] as const) {
      const places = podPlaces(directory, namespace, podId);
      mkdirSync(places.directory, { recursive: true });
      writeOwner(places, { namespace, podId, bundle: `/bundles/${podId}` });
    }
    const damaged = podPlaces(directory, "default", "half");
    mkdirSync(damaged.directory);
    writeFileSync(damaged.ownerMark, "{");
    assert.equal(readOwner(damaged), undefined);
    assert.deepEqual(
      listPods(directory).map(({ namespace, podId }) => `${namespace}/${podId}`),
      ["default/web", "default/web-1", "k8s.io/db", "k8s.io/web"],
    );
    assert.equal(findPod(directory, "db").podId, "db");
    assert.equal(findPod(directory, "web-").podId, "web-1");
    assert.deepEqual(
      findPod(directory, "k8s.io/web").places.directory,
      podPlaces(directory, "k8s.io", "web").directory,
    );
    assert.throws(() => findPod(directory, "web"), {
      code: Code.InvalidArgument,
      message: /default\/web, k8s\.io\/web/,
    });
    assert.throws(() => findPod(directory, "mail"), { code: Code.NotFound });
  } finally {
    rmSync(directory, { recursive: true });
  }
});
