import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidSpec } from "@trimaran/linux";
import { membershipOf } from "./membership.ts";

const of = (annotations: Record<string, string>) =>
  membershipOf({
    annotations,
    terminal: false,
    rootPath: "rootfs",
    cgroupsPath: undefined,
    hasPoststopHooks: false,
    networkNamespace: undefined,
    resources: undefined,
  });
const TYPE = "io.kubernetes.cri.container-type";
const SANDBOX = "io.kubernetes.cri.sandbox-id";

test("CRI's and CRI-O's annotations say whether a container joins a sandbox", () => {
  assert.deepEqual(of({}), { kind: "alone" });
  assert.deepEqual(of({ [SANDBOX]: "pod" }), { kind: "alone" }, "runsc goes by the type, too");
  assert.deepEqual(of({ [TYPE]: "sandbox", [SANDBOX]: "pod" }), { kind: "first" });
  assert.deepEqual(of({ [TYPE]: "container", [SANDBOX]: "pod" }), { kind: "member", sandboxId: "pod" });
  const crio = { "io.kubernetes.cri-o.ContainerType": "container", "io.kubernetes.cri-o.SandboxID": "pod" };
  assert.deepEqual(of(crio), { kind: "member", sandboxId: "pod" });
});

test("an unknown type, a member of nothing, and a sandbox that is no identifier are refused by name", () => {
  for (const [annotations, field] of [
    [{ [TYPE]: "vm" }, TYPE],
    [{ [TYPE]: "container" }, SANDBOX],
    [{ [TYPE]: "container", [SANDBOX]: "../x" }, SANDBOX],
  ] as const)
    assert.throws(
      () => of(annotations),
      (error) => error instanceof InvalidSpec && error.message.includes(field),
    );
});
