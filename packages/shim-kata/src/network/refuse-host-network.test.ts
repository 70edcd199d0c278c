import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidSpec, parseSpec } from "@trimaran/linux";
import { refuseHostNetwork } from "./refuse-host-network.ts";

const spec = (...namespaces: object[]) =>
  parseSpec(
    JSON.stringify({
      ociVersion: "1.0.2",
      root: { path: "rootfs" },
      linux: { namespaces: [{ type: "mount" }, ...namespaces] },
    }),
  );
const refused = (message: RegExp) => (error: unknown) => error instanceof InvalidSpec && message.test(error.message);

test("a network namespace of the pod's is accepted, new or made before", () => {
  refuseHostNetwork(spec({ type: "network" }));
  refuseHostNetwork(spec({ type: "network", path: "/proc/self/ns/uts" })); // another one than ours
});

test("the host's network is refused by field, however it is asked for; and so is one that is not there", () => {
  assert.throws(
    () => refuseHostNetwork(spec()),
    refused(/^linux\.namespaces: no network namespace: the host's network/),
  );
  for (const path of ["/proc/self/ns/net", `/proc/${process.pid}/ns/net`])
    assert.throws(
      () => refuseHostNetwork(spec({ type: "network", path })),
      refused(/^linux\.namespaces\[1\]\.path "\/proc\/.*": the host's network can't be had/),
    );
  assert.throws(
    () => refuseHostNetwork(spec({ type: "network", path: "/run/netns/none" })),
    refused(/^linux\.namespaces\[1\]\.path "\/run\/netns\/none": network namespace: does not exist$/),
  );
});
