import assert from "node:assert/strict";
import { test } from "node:test";
import { ANY, containerd, google } from "@trimaran/proto";
import { parseStartInput } from "./input.ts";

const who = { id: "web", namespace: "default" };
const options = containerd.runc.v1.Options.encode({ ioUid: 1000 });

test("nothing on stdin is no options", () => {
  assert.deepEqual(parseStartInput(new Uint8Array(0), who), { bootstrapParams: false, options: [] });
});

test("an Any is runtime options, and not mistaken for BootstrapParams", () => {
  const input = parseStartInput(google.protobuf.Any.encode({ typeUrl: ANY.runcOptions, value: options }), who);
  assert.equal(input.bootstrapParams, false);
  assert.equal(input.options[0]?.typeUrl, ANY.runcOptions);
  assert.deepEqual(Buffer.from(input.options[0]?.value ?? []), Buffer.from(options));
});

test("an Any with an empty value is no options: containerd 1.6 sends one for a table it does not know", () => {
  const any = google.protobuf.Any.encode({ typeUrl: ANY.runtimeOptions, value: new Uint8Array(0) });
  assert.deepEqual(parseStartInput(any, who).options, []);
});

test("BootstrapParams are taken for what they are if id and namespace agree with the flags", () => {
  const bytes = containerd.runtime.bootstrap.v1.BootstrapParams.encode({
    instanceId: "web",
    namespace: "default",
    containerdTtrpcAddress: "/run/c.sock.ttrpc",
    socketDir: "/run/s",
    extensions: [{ value: { typeUrl: ANY.runcOptions, value: options } }],
  });
  const input = parseStartInput(bytes, who);
  assert.partialDeepStrictEqual(input, {
    bootstrapParams: true,
    ttrpcAddress: "/run/c.sock.ttrpc",
    socketDir: "/run/s",
  });
  assert.equal(input.options.length, 1);
  assert.equal(parseStartInput(bytes, { ...who, id: "other" }).bootstrapParams, false);
});
