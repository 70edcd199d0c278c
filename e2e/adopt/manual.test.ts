import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const MANUAL = join(import.meta.dirname, "../../build/share/man/man1");
const PAGES = globSync("*.1", { cwd: MANUAL }).sort();

test("mandoc finds nothing to complain about in any page", () => {
  assert.ok(PAGES.length > 20);
  const { stdout, status } = spawnSync("mandoc", ["-T", "lint", "-W", "warning", ...PAGES], {
    cwd: MANUAL,
    encoding: "utf8",
  });
  assert.equal(stdout, "");
  assert.equal(status, 0);
});

test("a page reads as it should", () => {
  const text = execFileSync("mandoc", ["-T", "utf8", "-O", "width=200", "trimaran-exec.1"], {
    cwd: MANUAL,
    encoding: "utf8",
  });
  const plain = text.replaceAll(/.[\b]/g, "");
  assert.match(plain, /SYNOPSIS\n +trimaran exec \[FLAGS\] ID CMD\.\.\.\n/);
  assert.match(plain, / -e, --env K=V\n/);
  assert.match(plain, /EXAMPLES\n\s+trimaran exec -t -i web sh\n/);
});
