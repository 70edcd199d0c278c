/**
 * What the bridge costs, without a VM: a directory on tmpfs through both halves and virtiofsd, next to the same directory itself. Medians of
 * ROUNDS rounds that take turns. Run by `npm run bench -w @trimaran/fsbridge`; prints one line a task.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Share } from "../src/testing/share.ts";

const ROUNDS = 7;
const SETUP = "cd $S/tmpfs; head -c 64M /dev/zero > in; mkdir tree; cd tree; seq 2000 | xargs touch";

const SMALL_FILES =
  "mkdir $D/small; cd $D/small; i=0; while [ $i -lt 1000 ]; do echo x > $i; i=$((i+1)); done; cd /; rm -r $D/small";

/** A shell script in `$D`, and what one run of it counts for. */
const TASKS = [
  {
    name: "read 64 MB",
    unit: "MB/s",
    amount: 64,
    script: "dd if=$D/in of=/dev/null bs=1M iflag=fullblock status=none",
  },
  {
    name: "write 64 MB",
    unit: "MB/s",
    amount: 64,
    script: "dd if=/dev/zero of=$D/out bs=1M count=64 conv=fsync status=none",
  },
  { name: "walk of 2,000 files", unit: "files/s", amount: 2000, script: "find $D/tree -newer /proc > /dev/null" },
  { name: "1,000 small files written and removed", unit: "files/s", amount: 1000, script: SMALL_FILES },
] as const;

await using share = await Share.open();
const directory = join(share.shared, "tmpfs");
mkdirSync(directory);
execFileSync("mount", ["-t", "tmpfs", "bench", directory]);
await share.sh(SETUP);

for (const { name, unit, amount, script } of TASKS) {
  const bridged: number[] = [];
  const direct: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    bridged.push(await measure(join(share.mounted, "tmpfs"), script));
    direct.push(await measure(directory, script));
  }
  const rate = (ms: number) => Math.round((amount * 1000) / ms);
  console.log(
    `${name}: ${rate(median(bridged))} ${unit} bridged, ${rate(median(direct))} direct (medians of ${ROUNDS})`,
  );
}

/** Milliseconds. The mount's caches are dropped first. */
async function measure(where: string, script: string): Promise<number> {
  await share.sh("echo 3 > /proc/sys/vm/drop_caches; rm -f $S/tmpfs/out");
  const began = performance.now();
  await share.sh(`D=${where}\n${script}`);
  return performance.now() - began;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
