// A child of seccomp.test.ts: loads containerd's profile into itself, then shows what calls return.
import { writeSync } from "node:fs";
import { lazyNative } from "../../syscall/native.ts";
import { SeccompCompiler } from "../compiler.ts";
import { containerdProfile } from "./containerd-profile.ts";

const native = lazyNative();
const syscalls = [...(containerdProfile.syscalls ?? []), { names: ["mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 1 }];
const allowed = syscalls.map((rule) => ({
  ...rule,
  names: rule.names.filter((name) => name !== "mkdirat" || rule.action === "SCMP_ACT_ERRNO"),
}));
const filter = new SeccompCompiler(native).compile({ ...containerdProfile, syscalls: allowed });
if (filter === undefined) throw new Error("no filter");
native.check("prctl", [38, 1, 0, 0, 0]); // PR_SET_NO_NEW_PRIVS
const fprog = Buffer.alloc(16);
fprog.writeUInt16LE(filter.program.length / 8, 0);
fprog.writeBigUInt64LE(native.address(filter.program), 8);
native.check("seccomp", [1, filter.flags, fprog]);
writeSync(1, `mkdirat ${native.syscall("mkdirat", -100, Buffer.from("/nowhere/at/all\0"), 0o700)}\n`);
writeSync(1, `personality ${native.syscall("personality", 0)} ${native.syscall("personality", 9)}\n`);
writeSync(1, `newer ${native.syscall("open_tree_attr", -1)}\n`);
