import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { diffV1, snapshotsV1 } from "@trimaran/proto";
import { inProcessClient } from "../grpc/in-process.ts";
import type { ServiceClient } from "../grpc/service-client.ts";
import { LayerThreads } from "../layers/thread/layer-threads.ts";
import { DEFAULT_LIMITS, type LayerLimits } from "../layers/unpack/limits.ts";
import { SnapshotRecords } from "../metadata/snapshots.ts";
import { SnapshotDirectories } from "../overlay/snapshot-directories.ts";
import { contentService } from "../services/content-service.ts";
import { diffService } from "../services/diff-service.ts";
import { snapshotsService } from "../services/snapshots-service.ts";
import { temporaryDirectory } from "./temporary-directory.ts";
import { openTestContent, type TestContent } from "./test-content.ts";

/** Snapshots, diffs and content on folders and a database of their own. */
export interface TestSnapshots extends AsyncDisposable {
  readonly content: TestContent;
  readonly directories: SnapshotDirectories;
  readonly threads: LayerThreads;
  /** `…/io.containerd.snapshotter.v1.overlayfs`. */
  readonly root: string;
  /** An empty folder for a test's own use. */
  readonly scratch: string;
  snapshots(namespace?: string): ServiceClient<typeof snapshotsV1>;
  diffs(namespace?: string): ServiceClient<typeof diffV1>;
}

/** The caller disposes. */
export async function openTestSnapshots(limits: LayerLimits = DEFAULT_LIMITS): Promise<TestSnapshots> {
  const content = await openTestContent();
  const directory = temporaryDirectory();
  const [root, mountRoot, scratch] = ["io.containerd.snapshotter.v1.overlayfs", "mounts", "scratch"].map((name) =>
    join(directory.path, name),
  ) as [string, string, string];
  mkdirSync(mountRoot);
  mkdirSync(scratch);
  const threads = new LayerThreads({ mountRoot });
  const directories = await SnapshotDirectories.open(root, threads);
  const records = new SnapshotRecords(content.database, "overlayfs");
  const snapshotters = new Map([["overlayfs", { records, directories }]]);
  const snapshots = snapshotsService({ ...content.host, database: content.database, snapshotters });
  const contents = contentService(content.host);
  const diffs = diffService({ content: contents, blobs: content.host.files.blobs, threads, limits });
  return {
    content,
    directories,
    threads,
    root,
    scratch,
    snapshots: (namespace = "default") => inProcessClient(snapshotsV1, snapshots, namespace),
    diffs: (namespace = "default") => inProcessClient(diffV1, diffs, namespace),
    async [Symbol.asyncDispose]() {
      await threads[Symbol.asyncDispose]();
      await content[Symbol.asyncDispose]();
      directory[Symbol.dispose]();
    },
  };
}
