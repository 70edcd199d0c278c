import assert from "node:assert/strict";
import { chownSync, readlinkSync } from "node:fs";
import { defaultSpec } from "./default-spec.ts";
import { type Outcome, type Running, TestPod } from "./pod.ts";

/** What `defaultSpec` gives. */
export type Config = ReturnType<typeof defaultSpec>;

/** One of `linux.namespaces`. */
export type NamespaceEntry = { type: string; path?: string };

/** Maps of a user namespace: root is 100000 and 200000 on the host. */
export const MAPS = {
  uidMappings: [{ containerID: 0, hostID: 100000, size: 65536 }],
  gidMappings: [{ containerID: 0, hostID: 200000, size: 65536 }],
};

/** The namespaces of a container with a user namespace of its own. */
export const USER = ["pid", "ipc", "uts", "mount", "network", "cgroup", "user"];

const FILES: Readonly<Record<string, string>> = { mount: "mnt", network: "net" };

/** A spec's name of a kind as /proc/PID/ns has it. */
export function fileOf(kind: string): string {
  return FILES[kind] ?? kind;
}

/** Which namespace of a kind a process is in. */
export function inode(pid: number | "self", kind: string): string {
  return readlinkSync(`/proc/${pid}/ns/${fileOf(kind)}`);
}

/** A shell script in these namespaces. */
export function configure(
  script: string,
  namespaces: readonly NamespaceEntry[],
  change: (config: Config) => unknown = () => {},
): Config {
  const config = defaultSpec(["sh", "-c", script]);
  config.linux.namespaces = namespaces.map((one) => ({ ...one }));
  change(config);
  return config;
}

/** The default namespaces, those of `joined` by path. */
export function entries(owner: Running, joined: readonly string[]): NamespaceEntry[] {
  const kinds = new Set(["pid", "ipc", "uts", "mount", "network", ...joined]);
  return [...kinds].map((type) =>
    joined.includes(type) ? { type, path: `/proc/${owner.pid}/ns/${fileOf(type)}` } : { type },
  );
}

/** A pod whose rootfs belongs to the root of MAPS. */
export async function openMappedPod(base?: string): Promise<TestPod> {
  const pod = await TestPod.open(base);
  for (const path of [".", "tmp", "etc", "dev"]) chownSync(pod.path(path), 100000, 200000);
  return pod;
}

/** Create, start, wait. */
export async function run(pod: TestPod, config: Config): Promise<Outcome> {
  return (await pod.create(config)).end();
}

/** A running container that others join. */
export async function withOwner(
  pod: TestPod,
  change: (config: Config) => unknown,
  kinds: readonly string[],
  use: (owner: Running) => Promise<void>,
): Promise<void> {
  const namespaces = kinds.map((type) => ({ type }));
  const owner = await pod.create(configure("sleep 1000", namespaces, change));
  assert.equal(owner.failure, undefined);
  await owner.start();
  try {
    await use(owner);
  } finally {
    owner.kill();
    await owner.end();
  }
}
