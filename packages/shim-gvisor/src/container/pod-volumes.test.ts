import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { InvalidSpec } from "@trimaran/linux";
import { adaptVolumes, type VolumeSpec } from "./pod-volumes.ts";

const pods = mkdtempSync(join(tmpdir(), "trimaran-"));
after(() => rmSync(pods, { recursive: true }));
const cache = join(pods, "u-1/volumes/kubernetes.io~empty-dir/cache");
const secret = join(pods, "u-1/volumes/kubernetes.io~secret/secret");
for (const path of [cache, secret]) mkdirSync(path, { recursive: true });

const hint = (name: string, fields: Record<string, string>) =>
  Object.fromEntries(Object.entries(fields).map(([field, value]) => [`dev.gvisor.spec.mount.${name}.${field}`, value]));
const logs = { "io.kubernetes.cri.sandbox-log-directory": "/var/log/pods/ns_web_u-1" };
const adapted = (spec: VolumeSpec, kind: "first" | "member"): VolumeSpec => {
  adaptVolumes(spec, kind, pods);
  const once = structuredClone(spec);
  adaptVolumes(spec, kind, pods);
  assert.deepEqual(spec, once, "a replay changes nothing");
  return once;
};

test("hints of a sandbox get the volume's place; what is empty at first is tmpfs", () => {
  const wished = {
    ...hint("cache", { type: "bind", share: "pod" }),
    ...hint("secret", { type: "bind", share: "pod" }),
  };
  const { annotations } = adapted({ annotations: { ...logs, ...wished } }, "first");
  assert.deepEqual(annotations, {
    ...logs,
    ...hint("cache", { type: "tmpfs", share: "pod", source: cache }),
    ...hint("secret", { type: "bind", share: "pod", source: secret }),
  });
});

test("a volume that is not there is refused by the annotation's name; without a kubelet hints stay", () => {
  const wished = hint("none", { type: "bind" });
  assert.throws(
    () => adaptVolumes({ annotations: { ...logs, ...wished } }, "first", pods),
    (error) => error instanceof InvalidSpec && /spec\.mount\.none\.type.*0 volumes/.test(error.message),
  );
  assert.deepEqual(adapted({ annotations: wished }, "first").annotations, wished);
});

test("a member's mount of a volume gets the type that its hint has; others are left alone", () => {
  const bind = (source: string) => ({ destination: "/d", type: "bind", source, options: ["rbind", "rw"] });
  const mounts = [bind(cache), bind(secret), bind(`${cache}/below`), bind("/etc/cache")];
  const spec = adapted({ annotations: hint("cache", { type: "tmpfs" }), mounts }, "member");
  assert.deepEqual(spec.mounts?.[0], { destination: "/d", type: "tmpfs", source: cache, options: ["rw"] });
  assert.deepEqual(
    spec.mounts?.slice(1).map(({ type }) => type),
    ["bind", "bind", "bind"],
  );
});

test("/dev/shm is one tmpfs of the pod's", () => {
  const shm = { destination: "/dev/shm", type: "bind", source: "/run/shm", options: ["rbind", "ro"] };
  const double = { destination: "/dev/shm", type: "tmpfs", source: "shm", options: [] };
  const first = adapted({ mounts: [double, structuredClone(shm)] }, "first");
  assert.deepEqual(first.mounts, [{ ...shm, type: "tmpfs", options: ["ro"] }]);
  assert.deepEqual(
    first.annotations,
    hint("gvisorinternaldevshm", { source: "/run/shm", type: "tmpfs", share: "pod", options: "rw" }),
  );
  const member = adapted({ mounts: [structuredClone(shm)] }, "member");
  assert.deepEqual([member.annotations, member.mounts?.[0]?.type], [undefined, "tmpfs"]);
  const none = adapted({ mounts: [double] }, "first");
  assert.deepEqual(none, { mounts: [double] });
});
