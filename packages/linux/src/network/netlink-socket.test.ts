import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeAttribute, parseAttributes } from "./netlink.ts";
import { Netlink } from "./netlink-socket.ts";

test("attributes are what they were, whatever their length; half of one is left out", () => {
  const values = [0, 1, 2, 3, 4, 5].map((length) => [length + 1, Buffer.alloc(length, 7)] as const);
  const bytes = Buffer.concat(values.map(encodeAttribute));
  assert.deepEqual([...parseAttributes(bytes, 0)], values);
  assert.equal(parseAttributes(bytes.subarray(0, bytes.length - 6), 0).size, 5);
  assert.equal(parseAttributes(Buffer.from([1, 0, 1, 0]), 0).size, 0, "shorter than its own header");
});

test("the kernel tells the loopback, and refuses what is not there", () => {
  const RTM_GETLINK = 18;
  const RTM_DELLINK = 17;
  using netlink = new Netlink();
  const links = netlink.dump(RTM_GETLINK, 16, "links");
  const names = links.map(({ attributes }) => attributes.get(3)?.toString().replace("\0", ""));
  assert.ok(names.includes("lo"));
  const nobody = Buffer.alloc(16);
  nobody.writeInt32LE(0x7ffffff0, 4);
  assert.throws(() => netlink.request(RTM_DELLINK, 0, nobody, [], "nobody"), { path: "nobody" });
});
