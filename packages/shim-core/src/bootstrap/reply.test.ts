import assert from "node:assert/strict";
import { test } from "node:test";
import { containerd } from "@trimaran/proto";
import { socketPath } from "./address.ts";
import { parseMajorVersion } from "./daemon-version.ts";
import { encodeReply, replyForm } from "./reply.ts";

test("each daemon gets the reply that it understands", () => {
  assert.equal(replyForm({ bootstrapParams: true, majorVersion: 1 }), "protobuf");
  assert.equal(replyForm({ bootstrapParams: false, majorVersion: 2 }), "json");
  assert.equal(replyForm({ bootstrapParams: false, majorVersion: 1 }), "address");
});

test("the address is the whole text, without a newline", () => {
  assert.equal(Buffer.from(encodeReply("address", "unix:///s")).toString(), "unix:///s");
  assert.deepEqual(JSON.parse(Buffer.from(encodeReply("json", "unix:///s")).toString()), {
    version: 3,
    address: "unix:///s",
    protocol: "ttrpc",
  });
  const decoded = containerd.runtime.bootstrap.v1.BootstrapResult.decode(encodeReply("protobuf", "unix:///s"));
  assert.partialDeepStrictEqual(decoded, { version: 3, address: "unix:///s", protocol: "ttrpc" });
});

test("containerd's version line", () => {
  assert.equal(parseMajorVersion("containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+b1"), 1);
  assert.equal(parseMajorVersion("containerd github.com/containerd/containerd/v2 v2.1.4 deadbeef"), 2);
  assert.equal(parseMajorVersion("trimaran 0.1.0 (API of containerd 2.1)"), 2);
  assert.equal(parseMajorVersion("something 3.1"), 3);
  assert.equal(parseMajorVersion(""), 1);
});

test("a pod's socket is named by the hash of address, namespace and group", () => {
  const path = socketPath({ address: "/run/containerd/containerd.sock", namespace: "default", group: "web" });
  assert.match(path, /^\/run\/containerd\/s\/[0-9a-f]{64}$/);
  assert.notEqual(path, socketPath({ address: "/run/containerd/containerd.sock", namespace: "default", group: "db" }));
  assert.throws(() => socketPath({ address: "/a", namespace: "n", group: "g", socketDir: `/${"d".repeat(60)}` }), {
    message: /longer than 106 bytes/,
  });
});
