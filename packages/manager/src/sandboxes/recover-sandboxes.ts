import type { Bundle } from "../bundles/bundle.ts";
import { parseIdentifier } from "../bundles/identifier.ts";
import { recoverBundles } from "../tasks/left-bundles.ts";
import type { ShimHost } from "../tasks/task-host.ts";
import type { SandboxRegistry } from "./sandbox-registry.ts";

/** Find the sandboxes of an earlier daemon by their bundles, as tasks are found. */
export function recoverSandboxes(
  host: ShimHost,
  registry: SandboxRegistry,
  failed: (bundle: Bundle, error: unknown) => void,
): Promise<void> {
  return recoverBundles(host, {
    kind: "sandbox",
    async recover({ namespace, id }) {
      await registry.find(parseIdentifier("namespace", namespace), parseIdentifier("id", id));
    },
    failed,
    isKnown: (namespace, id) => registry.has(namespace, id),
  });
}
