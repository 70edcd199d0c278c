import assert from "node:assert/strict";
import { test } from "node:test";
import { Code } from "ttrpc-ts";
import { parseShimArguments } from "./arguments.ts";

const expected = {
  namespace: "k8s.io",
  id: "web",
  address: "/run/c.sock",
  publishBinary: "/usr/bin/containerd",
  debug: true,
};

for (const [form, argv] of Object.entries({
  "-x v": [
    "-namespace",
    "k8s.io",
    "-id",
    "web",
    "-address",
    "/run/c.sock",
    "-publish-binary",
    "/usr/bin/containerd",
    "-debug",
    "start",
  ],
  "--x v": [
    "--namespace",
    "k8s.io",
    "--id",
    "web",
    "--address",
    "/run/c.sock",
    "--publish-binary",
    "/usr/bin/containerd",
    "--debug",
    "start",
  ],
  "-x=v": [
    "-namespace=k8s.io",
    "-id=web",
    "-address=/run/c.sock",
    "-publish-binary=/usr/bin/containerd",
    "-debug=true",
    "start",
  ],
})) {
  test(`flags written ${form} mean the same`, () => {
    const args = parseShimArguments(argv);
    assert.partialDeepStrictEqual(args, { ...expected, action: "start" });
  });
}

test("flags end at the action, and a value may look like one", () => {
  assert.equal(parseShimArguments(["-id", "start", "delete", "-debug"]).action, "delete");
  assert.equal(parseShimArguments(["-id", "start", "delete", "-debug"]).debug, false);
});

test("what is no flag of a shim is an error that names it", () => {
  assert.throws(() => parseShimArguments(["-frob", "start"]), {
    code: Code.InvalidArgument,
    message: "flag -frob: unknown",
  });
  assert.throws(() => parseShimArguments(["-id"]), { message: "flag needs an argument: -id" });
  assert.throws(() => parseShimArguments(["-debug=maybe", "start"]), { message: 'flag -debug: "maybe" is no boolean' });
});
