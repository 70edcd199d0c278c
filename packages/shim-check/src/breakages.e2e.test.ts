import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { build } from "esbuild";
import { makeRootfs } from "./bundle/rootfs.ts";
import { CHECKS } from "./checks/index.ts";
import { resultText } from "./report/report.ts";
import { chooseChecks, runChecks } from "./run.ts";
import { BREAKAGES } from "./testing/breakages.ts";

const BIN = process.env.E2E_BIN ?? join(import.meta.dirname, "../../../build/bin");
const REAL = join(BIN, "containerd-shim-trimaran-runc-v2");
/** The whole table: `npm run breakages`. Else each EACH-th of it. */
const isWhole = process.env.SHIM_CHECK_BREAKAGES === "all";
const EACH = 16;

/** Checks that no breakage is for: with the reason. */
const UNBROKEN: Readonly<Record<string, string>> = {
  "start.unconnected": "takes 40 s to fail; upstream's shim fails it in the full form",
  "stdio.unread": "takes 32 s to fail",
};

test("each check has a breakage that it must see, and each breakage names checks that are there", () => {
  const caught = Object.values(BREAKAGES).flatMap(({ caughtBy }) => caughtBy);
  const ids = CHECKS.map(({ id }) => id as string);
  assert.deepEqual(
    caught.filter((id) => !ids.includes(id)),
    [],
  );
  assert.deepEqual(
    ids.filter((id) => !caught.includes(id) && !(id in UNBROKEN)),
    [],
  );
});

describe("a shim that breaks one thing is told so", { concurrency: 3 }, () => {
  let dir: string;
  let rootfs: string;
  before(async () => {
    assert.ok(existsSync(REAL), `${REAL}: not built; npm run build`);
    dir = await mkdtemp("/tmp/shim-check-");
    rootfs = join(dir, "rootfs");
    await makeRootfs(rootfs);
    await build({
      entryPoints: [join(import.meta.dirname, "testing/broken-shim.ts")],
      outfile: join(dir, "broken-shim.mjs"),
      bundle: true,
      platform: "node",
      format: "esm",
    });
  });
  after(async () => {
    const sockets = await readFile(join(dir, "sockets"), "utf8").catch(() => "");
    for (const path of sockets.split("\n").filter(Boolean)) await rm(path, { force: true });
    await rm(dir, { recursive: true, force: true });
  });

  const chosen = Object.entries(BREAKAGES).filter((_, at) => isWhole || at % EACH === 0);
  for (const [name, { caughtBy }] of chosen) {
    test(name, { timeout: 120_000 }, async () => {
      const binary = join(dir, `shim-${name.replace(/\W+/g, "-")}`);
      const environment = `REAL_SHIM='${REAL}' BROKEN="${name}" TRIMARAN_STATE=${dir}/t SOCKETS=${dir}/sockets`;
      await writeFile(binary, `#!/bin/sh\n${environment} exec '${process.execPath}' ${dir}/broken-shim.mjs "$@"\n`, {
        mode: 0o755,
      });
      const checks = chooseChecks({ only: isWhole ? caughtBy : caughtBy.slice(0, 1), faults: true, slow: true });
      const target = { binary, style: "2.1", rootfs, limitMs: 6000 } as const;
      const results = await runChecks(target, { name: "broken", version: "" }, checks, {
        jobs: 1,
        onResult: () => undefined,
      });
      const unseen = results.filter(({ verdict }) => verdict.kind !== "failed");
      assert.deepEqual(
        unseen.map((result) => resultText(result, { colour: false, verbose: true })),
        [],
      );
    });
  }
});
