import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import type { Spec } from "@trimaran/linux";
import { Code } from "ttrpc-ts";
import { checkNamespaces } from "./check-namespaces.ts";

function spec(namespaces: Readonly<Record<string, string | undefined>>): Spec {
  const entries = Object.entries(namespaces).map(([kind, path], index) => [kind, { kind, path, index }] as const);
  return { linux: { namespaces: new Map(entries) } } as unknown as Spec;
}

test("a process in the host's namespaces is no restored container; one in namespaces of its own is", async () => {
  const refused = { code: Code.FailedPrecondition, message: /^checkpoint: its \w+ namespace is not the container's$/ };
  for (const kind of ["pid", "mount", "network", "ipc", "uts"])
    assert.throws(() => checkNamespaces(spec({ [kind]: undefined }), process.pid), refused, kind);
  checkNamespaces(spec({ network: "/proc/self/ns/net" }), process.pid);
  const child = spawn("unshare", ["--uts", "--ipc", "sh", "-c", "echo; exec sleep 100"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  try {
    checkNamespaces(spec({ uts: undefined, ipc: undefined }), child.pid ?? 0);
    assert.throws(
      () => checkNamespaces(spec({ uts: "/proc/self/ns/uts" }), child.pid ?? 0),
      refused,
      "not the one to join",
    );
  } finally {
    child.kill("SIGKILL");
  }
});
