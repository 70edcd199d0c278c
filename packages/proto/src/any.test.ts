import assert from "node:assert/strict";
import { test } from "node:test";
import { ANY, anyTypeName, google, isAnyOf, packAny, taskV2, taskV3 } from "./index.ts";

test("a host part is taken off, containerd's JSON names are kept whole", () => {
  assert.equal(anyTypeName({ typeUrl: "type.googleapis.com/containerd.runc.v1.Options" }), ANY.runcOptions);
  assert.equal(anyTypeName({ typeUrl: ANY.runcOptions }), ANY.runcOptions);
  assert.equal(anyTypeName({ typeUrl: ANY.ociSpec }), "types.containerd.io/opencontainers/runtime-spec/1/Spec");
  assert.equal(anyTypeName(undefined), "");
  assert.ok(isAnyOf(packAny("x/y/google.protobuf.Empty", new Uint8Array()), ANY.empty));
});

test("an Any carries bytes unchanged", () => {
  const { Any } = google.protobuf;
  const packed = packAny(ANY.ociProcess, Buffer.from("{}"));
  const { typeUrl, value } = Any.decode(Any.encode(packed));
  assert.equal(typeUrl, ANY.ociProcess);
  assert.equal(Buffer.from(value).toString(), "{}");
});

test("both versions of the task service have the same 17 methods and messages", () => {
  assert.equal(Object.keys(taskV2.methods).length, 17);
  assert.deepEqual(taskV3.methods, taskV2.methods);
  assert.notEqual(taskV3.name, taskV2.name);
  assert.equal(taskV2.methods.closeIO.name, "CloseIO");
  assert.equal(taskV2.methods.exec.response, google.protobuf.Empty);
});
