import assert from "node:assert/strict";
import { test } from "node:test";
import { resolveUser } from "./user.ts";

const files = {
  passwd: "root:x:0:0::/root:/bin/sh\nbob:x:1000:1001:Bob:/:\nbroken\nbad:x:-1:5::\n",
  group: "root:x:0:\nwheel:x:10:root,bob\nbobs:x:1001:bob\n",
};

test("names and numbers, with the groups that go with them", () => {
  assert.deepEqual(resolveUser("", files), { uid: 0, gid: 0 });
  assert.deepEqual(resolveUser("bob", files), { uid: 1000, gid: 1001, additionalGids: [10] });
  assert.deepEqual(resolveUser("1000", files), { uid: 1000, gid: 1001, additionalGids: [10] });
  assert.deepEqual(resolveUser("bob:wheel", files), { uid: 1000, gid: 10 });
  assert.deepEqual(resolveUser("4242", files), { uid: 4242, gid: 0 });
  assert.deepEqual(resolveUser("4242:4243", { passwd: undefined, group: undefined }), { uid: 4242, gid: 4243 });
});

test("unknown names and impossible numbers are refused", () => {
  assert.throws(() => resolveUser("eve", files), /process\.user "eve": not in the rootfs's \/etc\/passwd/);
  assert.throws(() => resolveUser("bob:nobody", files), /group "nobody"/);
  assert.throws(() => resolveUser("4294967295", files), /process\.user/);
  assert.throws(() => resolveUser("bad", files), /process\.user/);
});

test("CVE-2016-3697, CVE-2024-40635, CVE-2026-46680: a number is that number, whatever the image's files call it", () => {
  const hostile = {
    passwd: "1000:x:0:0::/:\n4294967296:x:0:0::/:\n18446744073709551616:x:0:0::/:\nbob:x:1000:1001::/:\n",
    group: "1001:x:0:\n4294967296:x:0:\n",
  };
  assert.deepEqual(resolveUser("1000", hostile), { uid: 1000, gid: 1001 });
  assert.deepEqual(resolveUser("0001000", hostile), { uid: 1000, gid: 1001 });
  assert.deepEqual(resolveUser("1000:1001", hostile), { uid: 1000, gid: 1001 });
  for (const user of ["4294967296", "4294967295", "18446744073709551616", "1000:4294967296", "1000:99999999999"])
    assert.throws(() => resolveUser(user, hostile), /process\.user/, user);
});
