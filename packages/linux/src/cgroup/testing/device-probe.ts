// A child of device-program.e2e.test.ts: joins the cgroups named in argv, then answers every line of stdin with its verdicts.
import { closeSync, openSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { lazyNative } from "../../syscall/native.ts";

const [folder, ...attach] = process.argv.slice(2);
for (const file of attach) writeFileSync(file, String(process.pid));
const native = lazyNative();
const FLAGS = { 2: 0, 4: 1, 6: 2 };

/** EPERM is the cgroup's answer; a device that does not exist says ENXIO, after the cgroup has agreed. */
function mayOpen(path: string, access: 2 | 4 | 6): boolean {
  try {
    closeSync(openSync(path, FLAGS[access] | 0o4000));
    return true;
  } catch (error) {
    return !(error instanceof Error && "code" in error && error.code === "EPERM");
  }
}

function mayMake(type: string, major: number, minor: number): boolean {
  const path = Buffer.from(`${folder}/made-${process.pid}\0`);
  const mode = type === "b" ? 0o060600 : 0o020600;
  const result = native.syscall("mknodat", -100, path, mode, (major << 8) | minor);
  if (result === 0) native.syscall("unlinkat", -100, path, 0);
  return result !== -1;
}

for await (const line of createInterface({ input: process.stdin })) {
  const verdicts = line.split(" ").map((probe) => {
    const [type = "", major = "", minor = "", access = ""] = probe.split(":");
    if (access === "1") return mayMake(type, Number(major), Number(minor));
    return mayOpen(`${folder}/${type}-${major}-${minor}`, access === "2" ? 2 : access === "4" ? 4 : 6);
  });
  console.log(verdicts.map((allowed) => (allowed ? "1" : "0")).join(""));
}
