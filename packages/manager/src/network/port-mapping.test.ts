import assert from "node:assert/strict";
import { test } from "node:test";
import { formatPortMapping, parsePortMapping } from "./port-mapping.ts";

test("docker's forms, and back as docker shows them", () => {
  const cases: [string, string][] = [
    ["8080:80", "0.0.0.0:8080->80/tcp"],
    ["53:5353/udp", "0.0.0.0:53->5353/udp"],
    ["127.0.0.1:1:65535", "127.0.0.1:1->65535/tcp"],
    ["[::1]:8080:80/sctp", "[::1]:8080->80/sctp"],
  ];
  for (const [typed, shown] of cases) assert.equal(formatPortMapping(parsePortMapping(typed)), shown);
});

test("what is no mapping, or no port, is refused with its text", () => {
  for (const text of ["", "80", "0:80", "80:65536", "80:80/icmp", "a:80", "::1:80:80", "80:80:80:80", "-1:80"]) {
    assert.throws(() => parsePortMapping(text), { name: "RangeError", message: new RegExp(JSON.stringify(text)) });
  }
});
