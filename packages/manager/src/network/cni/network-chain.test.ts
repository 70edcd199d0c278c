import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../../testing/temporary-directory.ts";
import { addToNetwork, type ChainRequest, checkNetwork, removeFromNetwork } from "./network-chain.ts";
import { parseNetworkConfig } from "./network-config.ts";

/** A directory of plugins that are shell scripts: each notes what it was asked, then does what its script says. */
function openPlugins(scripts: Readonly<Record<string, string>>) {
  const directory = temporaryDirectory();
  const log = join(directory.path, "log");
  writeFileSync(log, "");
  for (const [name, script] of Object.entries(scripts)) {
    const note = `input=$(cat); echo "${name} $CNI_COMMAND $CNI_CONTAINERID $CNI_NETNS $CNI_IFNAME $input" >>'${log}'`;
    writeFileSync(join(directory.path, name), `#!/bin/sh\n${note}\n${script}\n`, { mode: 0o755 });
  }
  const config = parseNetworkConfig(
    '{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"first"},{"type":"second","capabilities":{"portMappings":true}}]}',
    "test",
  );
  const target = { containerId: "ns--web", netns: "/n", ifName: "eth0" };
  const request: ChainRequest = { config, target, capabilities: { portMappings: [{ hostPort: 1 }], bandwidth: {} } };
  const host = { pluginDirectories: [directory.path], environment: { PATH: process.env.PATH }, timeoutMs: 5000 };
  const calls = () =>
    readFileSync(log, "utf8")
      .split("\n")
      .filter(Boolean)
      .map((line) => {
        const [name, command, ...rest] = line.split(" ");
        return {
          call: `${name} ${command}`,
          target: rest.slice(0, 3).join(" "),
          input: JSON.parse(rest.slice(3).join(" ")),
        };
      });
  return { host, request, calls, [Symbol.dispose]: () => directory[Symbol.dispose]() };
}

const ANSWER = (address: string) =>
  `[ $CNI_COMMAND = ADD ] && echo '{"cniVersion":"1.0.0","ips":[{"address":"${address}"}]}'; exit 0`;

test("ADD goes forward with results, DEL backward, CHECK forward; arguments only to who can use them", async () => {
  using plugins = openPlugins({ first: ANSWER("10.0.0.2/24"), second: ANSWER("10.0.0.3/24") });
  const { host, request } = plugins;
  const result = await addToNetwork(host, request);
  assert.deepEqual(result.addresses, ["10.0.0.3/24"]);
  await checkNetwork(host, request, result.raw);
  await removeFromNetwork(host, request, result.raw);
  const calls = plugins.calls();
  assert.deepEqual(
    calls.map(({ call }) => call),
    ["first ADD", "second ADD", "first CHECK", "second CHECK", "second DEL", "first DEL"],
  );
  assert.deepEqual(new Set(calls.map(({ target }) => target)), new Set(["ns--web /n eth0"]));
  assert.deepEqual(calls[0]?.input, { type: "first", cniVersion: "1.0.0", name: "n" });
  assert.deepEqual(calls[1]?.input.runtimeConfig, { portMappings: [{ hostPort: 1 }] });
  assert.equal(calls[1]?.input.prevResult.ips[0].address, "10.0.0.2/24");
  assert.equal(calls[5]?.input.prevResult.ips[0].address, "10.0.0.3/24");
});

test("a plugin that refuses: its own words, and everything is taken back", async () => {
  const refusal = `[ $CNI_COMMAND = ADD ] || exit 0; echo '{"code":7,"msg":"no","details":"really"}'; exit 1`;
  using plugins = openPlugins({ first: ANSWER("10.0.0.2/24"), second: refusal });
  await assert.rejects(addToNetwork(plugins.host, plugins.request), {
    cniCode: 7,
    message: "network plugin second (ADD): no: really",
  });
  assert.deepEqual(
    plugins.calls().map(({ call }) => call),
    ["first ADD", "second ADD", "second DEL", "first DEL"],
  );
});

test("DEL runs all plugins even if one fails, and tells", async () => {
  using plugins = openPlugins({ first: "exit 0", second: "echo broken >&2; exit 3" });
  await assert.rejects(removeFromNetwork(plugins.host, plugins.request, undefined), /second \(DEL\): broken/);
  assert.equal(plugins.calls().length, 2);
});

test("a plugin that is missing, silent for too long, or talks nonsense", async () => {
  using missing = openPlugins({ first: "exit 0" });
  await assert.rejects(addToNetwork(missing.host, missing.request), {
    code: 5,
    message: /network plugin second: not in/,
  });
  using slow = openPlugins({ first: "exec sleep 1000", second: "exit 0" });
  await assert.rejects(addToNetwork({ ...slow.host, timeoutMs: 200 }, slow.request), { code: 4 });
  using nonsense = openPlugins({ first: "echo '['", second: "exit 0" });
  await assert.rejects(addToNetwork(nonsense.host, nonsense.request), /network plugin first \(ADD\): not JSON/);
});
