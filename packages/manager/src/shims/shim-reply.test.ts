import assert from "node:assert/strict";
import { test } from "node:test";
import { containerd } from "@trimaran/proto";
import { parseShimReply, socketPath } from "./shim-reply.ts";

const parse = (text: string) => parseShimReply(Buffer.from(text));
const { BootstrapResult } = containerd.runtime.bootstrap.v1;

test("text, JSON and protobuf replies mean the same", () => {
  const address = "unix:///run/containerd/s/abc";
  assert.deepEqual(parse(`${address}\n`), { version: 2, address, protocol: "ttrpc" });
  assert.deepEqual(parse(JSON.stringify({ version: 3, address, protocol: "ttrpc" })), {
    version: 3,
    address,
    protocol: "ttrpc",
  });
  const bytes = BootstrapResult.encode({ version: 3, address, protocol: "ttrpc" });
  assert.deepEqual(parseShimReply(bytes), { version: 3, address, protocol: "ttrpc" });
});

test("what is no reply is refused, with what was said", () => {
  for (const output of ["", "\n", "warning: x\nunix:///a", '{"version":3}', '{"address":"', "a b", "\u0008\u0003"]) {
    assert.throws(() => parse(output), /cannot read its reply/, JSON.stringify(output));
  }
  assert.throws(() => parse('{"version":4,"address":"unix:///a"}'), /version 4/);
  assert.throws(() => parse('{"version":3,"address":"unix:///a","protocol":"grpc"}'), /protocol "grpc"/);
});

test("addresses become paths, abstract names get a leading NUL", () => {
  assert.equal(socketPath("unix:///run/a.sock"), "/run/a.sock");
  assert.equal(socketPath("/run/a.sock"), "/run/a.sock");
  assert.equal(socketPath("containerd-shim/x.sock"), "\0containerd-shim/x.sock");
  assert.throws(() => socketPath("vsock://3:1024"), /only unix sockets/);
});
