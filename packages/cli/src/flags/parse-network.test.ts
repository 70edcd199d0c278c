import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCopyPlace } from "./parse-copy-place.ts";
import { parseNetwork } from "./parse-network.ts";

const PORT = { hostPort: 80, containerPort: 80, protocol: "tcp", hostIP: "" } as const;

test("networks: none by default, the bridge for a published port, the host's in two ways", () => {
  assert.deepEqual(parseNetwork({ netHost: false }), { hostNetwork: false, network: undefined, ports: [] });
  assert.deepEqual(parseNetwork({ netHost: false, publish: [PORT] }).network, "bridge");
  assert.deepEqual(parseNetwork({ netHost: false, net: "mine", publish: [PORT] }).network, "mine");
  for (const flags of [{ netHost: true }, { netHost: false, net: "host" }, { netHost: true, net: "host" }]) {
    assert.deepEqual(parseNetwork(flags), { hostNetwork: true, network: undefined, ports: [] });
  }
});

test("networks: what does not go together is refused", () => {
  assert.throws(() => parseNetwork({ netHost: true, net: "bridge" }), /--net-host: not together with --net bridge/);
  for (const net of ["host", "none"]) {
    assert.throws(() => parseNetwork({ netHost: false, net, publish: [PORT] }), /--publish: .* --net/);
  }
});

test("ends of a copy", () => {
  assert.deepEqual(parseCopyPlace("web:/etc/hosts"), { id: "web", path: "/etc/hosts", isDirectory: false });
  assert.deepEqual(parseCopyPlace("web:/"), { id: "web", path: "/", isDirectory: true });
  assert.deepEqual(parseCopyPlace("web:/a/b/"), { id: "web", path: "/a/b", isDirectory: true });
  assert.deepEqual(parseCopyPlace("./a:b"), { id: undefined, path: "./a:b", isDirectory: false });
  assert.deepEqual(parseCopyPlace("/a:b"), { id: undefined, path: "/a:b", isDirectory: false });
  for (const text of ["", "web:", "web:etc"]) assert.throws(() => parseCopyPlace(text), RangeError);
});
