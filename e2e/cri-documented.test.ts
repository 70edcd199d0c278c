import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { EngineVersion } from "./harness/config.ts";
import { BUILD_BIN, startContainerd } from "./harness/containerd.ts";
import { CriClient } from "./harness/cri/client.ts";
import { importImages } from "./harness/cri/matrix.ts";
import { openPodNetwork } from "./harness/cri/network.ts";
import { Pod } from "./harness/cri/pod.ts";
import { docBlocks } from "./harness/doc-blocks.ts";
import { PAUSE_IMAGE } from "./harness/images.ts";
import { KataTemplates } from "./harness/kata-templates.ts";
import { chosen } from "./harness/matrix.ts";
import { PATIENCE } from "./harness/patience.ts";

const ROOT = join(import.meta.dirname, "..");
const README = tomlBlocks("README.md");
const MORE = tomlBlocks("docs/kubernetes.md");
/** The tables of each version, without the line that says which. */
const TABLES: Readonly<Record<EngineVersion, string>> = {
  "1.6": README[0] ?? "",
  "2.x": [README[1], ...MORE].join("\n"),
};
const CLASSES = handlersOf(readFileSync(join(ROOT, "docs/runtimeclass.yaml"), "utf8"), /^handler: (\S+)$/gm);
/** Machines take seconds each where they are emulated: they run when they are asked for. */
const isWanted = (handler: string) => handler.includes("kata") === (process.env.E2E_RUNTIMES === "kata");

function tomlBlocks(file: string): string[] {
  const blocks = docBlocks(join(ROOT, file)).filter(({ language }) => language === "toml");
  return blocks.map(({ text }) => text.replace(/^version = .*$/m, "").replaceAll("/usr/local/bin", BUILD_BIN));
}

function handlersOf(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(([, name = ""]) => name);
}

for (const version of chosen<EngineVersion>("E2E_ENGINES", { "1.6": "1.6", "2.x": "2.x" }))
  test(`a pod of each handler that the documents configure: containerd ${version}`, {
    timeout: 120_000 * PATIENCE,
  }, async () => {
    const tables = TABLES[version];
    const handlers = handlersOf(tables, /runtimes\.(trimaran\S*)\]$/gm);
    for (const name of CLASSES) assert.ok(handlers.includes(name), name);
    await using engine = await startContainerd({ version, cri: true, sandboxImage: PAUSE_IMAGE, tables });
    using templates = new KataTemplates();
    if (handlers.filter(isWanted).some((name) => name.includes("kata"))) templates.serve(engine.trimaranState);
    await using _network = await openPodNetwork(engine);
    using cri = new CriClient(engine.address);
    await cri.ready();
    await importImages(engine, cri);
    for (const handler of handlers.filter(isWanted)) {
      await using pod = await Pod.run(cri, engine, { handler });
      const box = await pod.start("box", ["hostname"]);
      assert.equal((await box.exited(30_000)).exitCode, 0, handler);
      assert.deepEqual(await box.log(), ["trimaran-pod"], handler);
    }
    if (version === "1.6") return;
    const { runtimeHandlers } = await cri.call("Status", { verbose: false });
    const can = new Map(runtimeHandlers.map(({ name, features }) => [name, features?.userNamespaces]));
    assert.equal(can.get("trimaran-runc-users"), true);
  });
