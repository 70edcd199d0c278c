import assert from "node:assert/strict";
import { createReadStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { PATIENCE } from "./patience.ts";
import { runOk } from "./process.ts";
import type { ShimYard, StartedShim } from "./shims.ts";

/** A program that counts, a line at a time. */
export const COUNT = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done"];

/** What such a program has written by now. */
export interface Numbers {
  /** FIFOs, for Create. */
  readonly stdout: string;
  readonly stderr: string;
  /** 0 if there is none. */
  first(): number;
  last(): number;
  /** Fails if it does not count that far within a bound. */
  reached(number: number): Promise<void>;
  /** Resolves at the end of its output. */
  readonly ended: Promise<void>;
}

/** Make the two FIFOs, `PATH` and `PATH.err`, and read them. */
export async function readNumbers(path: string): Promise<Numbers> {
  const stderr = `${path}.err`;
  await runOk(["mkfifo", path, stderr]);
  let text = "";
  const stream = createReadStream(path, "utf8");
  stream.on("data", (part) => {
    text += part;
  });
  createReadStream(stderr, "utf8").on("data", (part) => {
    text += `stderr: ${part}`;
  });
  const ended = new Promise<void>((resolve) => stream.once("close", resolve));
  const numbers = () => text.split("\n").slice(0, -1).map(Number);
  const last = () => numbers().at(-1) ?? 0;
  return {
    stdout: path,
    stderr,
    ended,
    last,
    first: () => numbers()[0] ?? 0,
    async reached(number) {
      const deadlineMs = performance.now() + 15_000 * PATIENCE;
      while (!(last() >= number)) {
        assert.ok(performance.now() < deadlineMs, `it does not count to ${number}: ${JSON.stringify(text)}`);
        await delay(20);
      }
    },
  };
}

/** Create a container that counts, or one that is to be restored, with its output read; with the options of the yard's kind, if it has some. */
export async function createCounter(
  { containerd, kind: { options } }: ShimYard,
  { shim, bundle, id }: StartedShim,
  checkpoint = "",
): Promise<Numbers> {
  await mkdir(join(bundle.path, "work")); // containerd makes it, too, and upstream's shim counts on it
  const out = await readNumbers(join(containerd.dir, `out-${id}`));
  const { stdout, stderr } = out;
  const request = { id, bundle: bundle.path, rootfs: bundle.mounts, stdout, stderr, checkpoint };
  await shim.task.create({ ...request, ...(options && { options }) });
  return out;
}
