import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { messageOf, openClient } from "@trimaran/manager";
import { buildImages } from "../e2e/harness/images.ts";
import { build } from "./build.ts";
import { BUILD_PACKAGES, ensurePackages } from "./debian.ts";
import { makeBusyboxRootfs } from "./demo/busybox-rootfs.ts";
import { printNextSteps } from "./demo/next-steps.ts";
import { Printer } from "./demo/print.ts";
import { showAgain, showContainer } from "./demo/show-container.ts";
import { showGvisor } from "./demo/show-gvisor.ts";
import { showImage } from "./demo/show-image.ts";
import { showKata } from "./demo/show-kata.ts";
import { ensureGuestImage } from "./guest/image.ts";

const checkout = dirname(import.meta.dirname);
const OUR_RUNTIME = "io.containerd.trimaran-runc.v2";

/** `npm start`: build, then one container from start to end, with times and namespaces. */
async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { runtime: { type: "string", default: OUR_RUNTIME }, "no-build": { type: "boolean", default: false } },
  });
  const print = new Printer(process.stdout);
  if (process.getuid?.() !== 0) {
    process.stderr.write("demo: needs root, for namespaces and mounts: sudo npm start\n");
    return 1;
  }
  await ensurePackages(BUILD_PACKAGES);
  if (!values["no-build"]) await build();
  const directory = await mkdtemp(join(tmpdir(), "trimaran-demo-"));
  const steps = new Map<string, number>();
  try {
    const rootfs = join(directory, "rootfs");
    await mkdir(rootfs);
    await makeBusyboxRootfs(rootfs);
    await using client = await openClient({
      directories: { root: join(directory, "root"), state: join(directory, "state") },
      namespace: "trimaran-demo",
      shimDirectories: [join(checkout, "build/bin"), ...(process.env.PATH ?? "").split(":")],
      environment: process.env,
      access: "write",
      publishBinary: join(checkout, "build/bin/trimaran"),
      debug: false,
      version: "demo",
      trace: (step, durationMs) => steps.set(step, durationMs),
    });
    print.line(`A busybox container through ${values.runtime}, run by Trimaran's own manager, without a daemon.`);
    await showContainer(client, steps, rootfs, values.runtime, print);
    await showAgain(client, steps, rootfs, values.runtime, print);
    await showImage(client, (await buildImages()).oci, values.runtime, print);
    if (values.runtime === OUR_RUNTIME) await showGvisor(client, steps, rootfs, print);
    if (values.runtime === OUR_RUNTIME && process.arch === "x64") {
      await ensureGuestImage();
      await showKata(client, steps, rootfs, print);
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  printNextSteps(print, checkout);
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`demo: ${messageOf(error)}\n`);
  process.exitCode = 1;
}
