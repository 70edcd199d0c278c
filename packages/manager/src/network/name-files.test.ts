import assert from "node:assert/strict";
import { test } from "node:test";
import { makeHosts, makeResolvConf } from "./name-files.ts";

const NO_DNS = { nameservers: [], domain: "", search: [], options: [] };

test("the network's servers replace the host's", () => {
  const dns = { nameservers: ["10.0.0.1"], domain: "d", search: ["a", "b"], options: ["ndots:2"] };
  const expected = "domain d\nsearch a b\nnameserver 10.0.0.1\noptions ndots:2\n";
  assert.equal(makeResolvConf(dns, "nameserver 1.2.3.4\n"), expected);
});

test("a server on the host's loopback can't be reached from a container", () => {
  const host = "search lan\nnameserver 127.0.0.53\nnameserver ::1\nnameserver 192.168.0.1\n";
  assert.equal(makeResolvConf(NO_DNS, host), "search lan\nnameserver 192.168.0.1\n");
  assert.equal(makeResolvConf(NO_DNS, "nameserver 127.0.0.53\n"), "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
});

test("a newline in a network's answer forges no line", () => {
  const dns = { ...NO_DNS, nameservers: ["1.1.1.1\nnameserver 6.6.6.6"] };
  assert.equal(makeResolvConf(dns, "").split("\n").length, 2);
});

test("hosts has the container's own name at each address", () => {
  const text = makeHosts("web", ["10.77.0.2/16", "fd00::2/64"]);
  assert.ok(text.startsWith("127.0.0.1\tlocalhost\n::1\tlocalhost "));
  assert.ok(text.endsWith("10.77.0.2\tweb\nfd00::2\tweb\n"));
});
