import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readConfig } from "../container/bundle-config.ts";
import { sandboxGuest } from "./sandbox-bundle.ts";

test("a sandbox without a container gets a bundle that says where its machine is to be", () => {
  const bundle = mkdtempSync(join(tmpdir(), "trm-sandbox-"));
  const annotations = { "io.katacontainers.config.hypervisor.default_vcpus": "2" };
  const request = { id: "pod", namespace: "k8s.io", bundle, annotations, options: [] };
  try {
    const { owner, podId } = sandboxGuest({ ...request, networkNamespace: "/run/netns/a" });
    const { spec } = readConfig(owner.bundle);
    assert.deepEqual([podId, owner.id, spec.linux.cgroupsPath], ["pod", "pod", "/k8s.io/pod"]);
    assert.equal(spec.linux.namespaces.get("network")?.path, "/run/netns/a");
    assert.deepEqual(Object.fromEntries(spec.annotations), annotations);
    assert.equal(spec.hostname, undefined);
    const pod = { hostname: "web", hostIpc: false, sharesProcesses: false, ownUsers: false };
    sandboxGuest({ ...request, networkNamespace: "", pod });
    const second = readConfig(bundle).spec;
    assert.deepEqual([second.linux.namespaces.get("network")?.path, second.hostname], [undefined, "web"]);
  } finally {
    rmSync(bundle, { recursive: true });
  }
});
