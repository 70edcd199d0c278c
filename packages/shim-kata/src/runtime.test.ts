import assert from "node:assert/strict";
import { test } from "node:test";
import type { Host } from "@trimaran/shim-core";
import { KataRuntime } from "./runtime.ts";

test("a sandbox that CRI wants in the host's network is refused, and nothing is made for it", async () => {
  const never = () => assert.fail("no machine is made");
  const { sandboxes } = new KataRuntime({ open: never, find: never });
  const pod = { id: "pod", namespace: "k8s.io", bundle: "/none", networkNamespace: "", annotations: {}, options: [] };
  await assert.rejects(sandboxes.start({ ...pod, hostNetwork: true }, {} as Host), {
    name: "InvalidSpec",
    message: /^linux\.security_context\.namespace_options\.network: .*the host's network can't be had/,
  });
});
