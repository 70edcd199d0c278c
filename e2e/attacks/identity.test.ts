/** Who a container's process becomes, and what it may. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { attack } from "./bed/attack.ts";
import { AttackBed } from "./bed/bed.ts";
import { baseConfig } from "./bed/config.ts";

attack("CVE-2016-3697: the image's passwd says who 1000 is", {
  script: "id -u",
  image: (bed) => {
    // The control is chroot(1), which looks for a name before a number, in the new root.
    writeFileSync(bed.path("etc/passwd"), "1000:x:0:0::/:/bin/sh\n");
    writeFileSync(bed.path("etc/group"), "1000:x:0:\n");
  },
  config: ({ process }) => {
    process.user = { uid: 1000, gid: 1000 };
  },
  succeeded: ({ stdout }) => stdout === "0\n",
});

attack("CVE-2022-29162, CVE-2022-24769: capabilities are left to a user who was given none", {
  script: "grep -E '^Cap(Inh|Prm|Eff|Amb)' /proc/self/status | cut -f2 | grep -v '^0*$' && echo some; true",
  config: ({ process }) => {
    process.user = { uid: 0, gid: 0 };
    for (const set of ["effective", "permitted", "inheritable", "ambient"] as const) process.capabilities[set] = [];
  },
  succeeded: ({ stdout }) => stdout.includes("some"),
});

attack("CVE-2022-0492, CVE-2022-0185: release_agent of a cgroup hierarchy that the container mounts", {
  script:
    "mkdir /tmp/c && mount -t cgroup -o memory cgroup /tmp/c && test -w /tmp/c/release_agent && echo writable; true",
  image: (bed) => mkdirSync(bed.path("sys"), { recursive: true }),
  succeeded: ({ stdout }) => stdout.includes("writable"),
});

/** busybox would not do: it gives the rights of a setuid program back. */
const WHO = '#include <stdio.h>\n#include <unistd.h>\nint main(void) { printf("%d\\n", (int)geteuid()); }\n';

attack("a setuid program of the image in spite of noNewPrivileges", {
  script: "/bin/suid",
  image: (bed) => bed.program("suid", WHO, 0o4755),
  config: ({ process }) => {
    process.user = { uid: 1000, gid: 1000 };
  },
  succeeded: ({ stdout }) => stdout === "0\n",
});

test("CVE-2022-29162, CVE-2023-25173: an exec by a user has no capability, and the groups of the config", async () => {
  await using bed = new AttackBed();
  await using _ = await bed.start(baseConfig(["sleep", "1000"]));
  const script = "grep -E '^(Cap(Inh|Prm|Eff|Amb)|Groups)' /proc/self/status";
  const { stdout } = await bed.oci(["exec", "--user", "1000:1000", bed.id, "sh", "-c", script]);
  assert.equal(
    stdout.replaceAll(/[ \t]+/g, " "),
    lines("Groups: ", "CapInh: 0", "CapPrm: 0", "CapEff: 0", "CapAmb: 0"),
  );
  const more = await bed.oci(["exec", "--cap", "CAP_KILL", bed.id, "sh", "-c", "grep CapInh /proc/self/status"]);
  assert.match(more.stdout, /^CapInh:\s0+$/m);
});

function lines(...texts: readonly string[]): string {
  return texts.map((text) => `${text.replace(/ 0$/, " 0000000000000000")}\n`).join("");
}

test("CVE-2024-40635, CVE-2026-46680, CVE-2026-30892: what is no number is no user", async () => {
  await using bed = new AttackBed();
  await using _ = await bed.start(baseConfig(["sleep", "1000"]));
  for (const user of ["4294967296", "4294967295", "-1", "1e3", "0x0", "1:", ":1", "1:0:0", "root", " 1"]) {
    const { code, stdout, stderr } = await bed.oci(["exec", "--user", user, bed.id, "id", "-u"]);
    assert.notEqual(code, 0, user);
    assert.equal(stdout, "");
    assert.match(stderr, /--user/);
  }
  for (const [user, ids] of [
    ["1", "1\n0\n"],
    ["01:2", "1\n2\n"],
  ] as const) {
    const { stdout } = await bed.oci(["exec", "--user", user, bed.id, "sh", "-c", "id -u; id -g"]);
    assert.equal(stdout, ids);
  }
});

test("ids in config.json beyond 32 bits, below 0, or no integers are refused", async () => {
  for (const uid of [2 ** 32, 2 ** 32 - 1, -1, 0.5, "0", 1e300]) {
    await using bed = new AttackBed();
    const config = baseConfig(["true"]);
    Object.assign(config.process.user, { uid });
    const { code, stderr } = await bed.run("trimaran-oci", config);
    assert.notEqual(code, 0);
    assert.match(stderr, /process\.user\.uid/);
  }
});
