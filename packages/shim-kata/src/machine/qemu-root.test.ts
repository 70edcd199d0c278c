import assert from "node:assert/strict";
import { test } from "node:test";
import { qemuRoot } from "./qemu-root.ts";

const files = { readOnly: ["/var/cache/image", "/usr/share/kernel"], writable: ["/run/vm"] };

test("the system's programs, the machine's own files, a few devices: no configuration, no state, no sockets", () => {
  const { readOnly, writable, devices, links } = qemuRoot({ argv: ["/usr/bin/qemu-system-x86_64"], files });
  const shown = [...readOnly, ...writable, ...devices, ...links.map(({ path }) => path)];
  assert.ok(readOnly.includes("/usr") && devices.includes("/dev/null"));
  assert.ok(
    readOnly.includes("/var/cache/image") && !readOnly.includes("/usr/share/kernel"),
    "what is shown is not shown twice",
  );
  for (const path of ["/", "/etc", "/run", "/proc", "/sys", "/var", "/root", "/home", "/tmp", "/dev"])
    assert.ok(!shown.includes(path), path);
  assert.deepEqual(writable, ["/run/vm"]);
});

test("a QEMU that is elsewhere brings what is beside its bin", () => {
  assert.ok(qemuRoot({ argv: ["/srv/kata/bin/qemu"], files }).readOnly.includes("/srv/kata"));
  assert.ok(qemuRoot({ argv: ["/srv/qemu"], files }).readOnly.includes("/srv/qemu"), "not all of the host");
  assert.ok(!qemuRoot({ argv: ["/bin/qemu"], files }).readOnly.includes("/"), "not all of the host");
});
