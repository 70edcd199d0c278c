import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../../testing/temporary-directory.ts";
import { defaultNetworkConfig, findNetworkConfig, parseNetworkConfig } from "./network-config.ts";

test("a list is a chain, a single plugin a chain of one", () => {
  const list = parseNetworkConfig(
    '{"cniVersion":"1.0.0","name":"n","disableCheck":true,"plugins":[{"type":"bridge"},{"type":"portmap"}]}',
    "x",
  );
  assert.deepEqual([list.name, list.disableCheck, list.plugins.length], ["n", true, 2]);
  const single = parseNetworkConfig('{"cniVersion":"0.3.1","name":"n","type":"ptp","mtu":1}', "x");
  assert.deepEqual([single.plugins.length, single.plugins[0]?.mtu], [1, 1]);
});

test("ours parses", () => {
  const own = defaultNetworkConfig({ addressDirectory: "/a", bridge: "b0", subnet: "10.0.0.0/8" });
  assert.deepEqual(parseNetworkConfig(JSON.stringify(own), "own"), own);
});

test("a bad file is refused by field", () => {
  const cases: [string, RegExp][] = [
    ["x", /^f: not JSON/],
    ["[]", /^f: not an object/],
    ['{"name":"n","type":"t"}', /^f: cniVersion ""/],
    ['{"cniVersion":"9.0.0","name":"n","type":"t"}', /cniVersion "9.0.0"/],
    ['{"cniVersion":"1.0.0","name":"../n","type":"t"}', /name "..\/n": not a name/],
    ['{"cniVersion":"1.0.0","name":"n","plugins":[]}', /plugins: none/],
    ['{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"../../bin/sh"}]}', /plugins\[0\].type/],
    ['{"cniVersion":"1.0.0","name":"n"}', /type ""/],
  ];
  for (const [text, message] of cases) assert.throws(() => parseNetworkConfig(text, "f"), { code: 3, message });
});

test("the first file counts, or the one with the name; no directory is no network", async () => {
  using directory = temporaryDirectory();
  assert.equal(await findNetworkConfig(join(directory.path, "nope")), undefined);
  writeFileSync(join(directory.path, "10-b.conf"), '{"cniVersion":"1.0.0","name":"b","type":"t"}');
  writeFileSync(join(directory.path, "20-a.conflist"), '{"cniVersion":"1.0.0","name":"a","plugins":[{"type":"t"}]}');
  writeFileSync(join(directory.path, "00-notes.txt"), "no network");
  assert.equal((await findNetworkConfig(directory.path))?.name, "b");
  assert.equal((await findNetworkConfig(directory.path, "a"))?.name, "a");
  assert.equal(await findNetworkConfig(directory.path, "c"), undefined);
  writeFileSync(join(directory.path, "00-broken.conf"), "{");
  await assert.rejects(findNetworkConfig(directory.path), /00-broken.conf: not JSON/);
  assert.equal((await findNetworkConfig(directory.path, "a"))?.name, "a");
});
