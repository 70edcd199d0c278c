/** Entry of a layer thread: runs one job at a time, each with a root directory of its own. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { parentPort } from "node:worker_threads";
import { type DiffResult, diffTrees } from "../diff/diff-trees.ts";
import { diskUsage } from "../diff/disk-usage.ts";
import { type LayerLibc, loadLayerLibc } from "../libc.ts";
import { mountAll } from "../mount/mount-all.ts";
import { toByteString } from "../tar/byte-string.ts";
import { LayerMeter } from "../unpack/limits.ts";
import { unpackLayer } from "../unpack/unpack-layer.ts";
import { overlayWhiteouts, removingWhiteouts } from "../unpack/whiteouts.ts";
import type { ApplyJob, DiffJob, FromThread, LayerJob, LayerResults, ToThread } from "./layer-job.ts";
import { isInUserNamespace, ThreadRoot } from "./thread-root.ts";
import { toThrown } from "./thrown-error.ts";

/** Chunks on their way to a writer that has not said "written" yet. */
const CHUNKS_AHEAD = 4;

const port = parentPort;
if (port === null) throw new Error("layer-worker: not a worker thread");
const libc = loadLayerLibc();
const inUserNamespace = isInUserNamespace();
const opening = ThreadRoot.open(libc);
const written = { ahead: 0, resume: () => {} };

port.on("message", (message: ToThread) => {
  if (message.kind === "written") {
    written.ahead--;
    written.resume();
  } else {
    void run(message.job, message.mountRoot);
  }
});

async function run(job: LayerJob, mountRoot: string): Promise<void> {
  const isSpent = needsMounts(job);
  try {
    const root = await opening;
    const result = await resultOf(job, root, mountRoot);
    if (isSpent) root[Symbol.dispose]();
    post({ kind: "done", result, isSpent });
  } catch (error) {
    post({ kind: "failed", error: toThrown(error), isSpent });
  }
}

function needsMounts(job: LayerJob): boolean {
  return job.kind === "diff" || (job.kind === "apply" && job.target.kind === "mounts");
}

async function resultOf(job: LayerJob, root: ThreadRoot, mountRoot: string): Promise<LayerResults[LayerJob["kind"]]> {
  switch (job.kind) {
    case "apply":
      return apply(job, root, mountRoot);
    case "diff":
      return diff(job, root, mountRoot);
    case "usage":
      return diskUsage(toByteString(job.directory));
    case "remove":
      rmSync(job.directory, { recursive: true, force: true });
      return undefined;
  }
}

async function apply({ source, target, limits, sync }: ApplyJob, root: ThreadRoot, mountRoot: string) {
  const directory = target.kind === "mounts" ? join(mountRoot, "layer") : target.directory;
  if (target.kind === "mounts") {
    root.openMounts(mountRoot);
    mountAll(target.mounts, directory, false, { libc, rootFd: root.hostFd });
  }
  using _inside = root.enter(toByteString(directory));
  const options = {
    libc,
    whiteouts: target.kind === "upper" ? overlayWhiteouts(libc, inUserNamespace) : removingWhiteouts(),
    meter: new LayerMeter(limits),
    lowers: target.kind === "upper" ? target.lowers : [],
    outside: <T>(body: () => T) => root.outside(body),
    skipDevices: inUserNamespace,
  };
  return await unpackLayer(source, options, sync);
}

async function diff(job: DiffJob, root: ThreadRoot, mountRoot: string): Promise<DiffResult> {
  root.openMounts(mountRoot);
  const thread: { libc: LayerLibc; rootFd: number } = { libc, rootFd: root.hostFd };
  mountAll(job.left, join(mountRoot, "left"), true, thread);
  mountAll(job.right, join(mountRoot, "right"), true, thread);
  using _inside = root.enter(toByteString(mountRoot));
  const { compression, latestSeconds } = job;
  return await diffTrees({ libc, trees: { left: "/left", right: "/right" }, compression, latestSeconds }, send);
}

async function send(chunk: Buffer): Promise<void> {
  post({ kind: "chunk", chunk });
  written.ahead++;
  while (written.ahead >= CHUNKS_AHEAD) {
    const { promise, resolve } = Promise.withResolvers<void>();
    written.resume = resolve;
    await promise;
  }
}

function post(message: FromThread): void {
  port?.postMessage(message);
}
