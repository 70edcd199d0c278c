/** `content-crash-child.ts FOLDER JOB`: store the contents of jobs from JOB on under the lease `crash`, while collecting, until killed. */
import { writeSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { containerd } from "@trimaran/proto";
import { jobContent } from "../content/testing/crash-job.ts";
import { Code, hasCode } from "../errors/manager-error.ts";
import { collectGarbage } from "../gc/collect-garbage.ts";
import { openTestContentIn } from "./test-content.ts";

const { COMMIT, STAT, WRITE } = containerd.services.content.v1.WriteAction;
const STEP_BYTES = 100_003;

const [folder = "", first = "0"] = process.argv.slice(2);
const content = await openTestContentIn(folder);

/** Every request waits for the answer to the one before. */
async function store(job: number): Promise<void> {
  const data = jobContent(job);
  const total = BigInt(data.length);
  let offset = 0;
  async function* requests() {
    yield { action: STAT, ref: `job ${job}`, total };
    while (offset < data.length) {
      yield { action: WRITE, offset: BigInt(offset), data: data.subarray(offset, offset + STEP_BYTES) };
    }
    yield { action: COMMIT, offset: total, total, labels: { job: String(job) } };
  }
  for await (const answer of content.client().write(requests(), { lease: "crash" })) offset = Number(answer.offset);
}

async function collectForever(): Promise<never> {
  for (;;) {
    await collectGarbage({ ...content.host, database: content.database, snapshotters: new Map() });
    await setImmediate();
  }
}

void collectForever();
writeSync(1, "ready\n");
for (let job = Number(first); ; job++) {
  await store(job).catch((error: unknown) => {
    if (!hasCode(error, Code.AlreadyExists)) throw error; // the kill came between the commit and its answer
  });
  writeSync(1, `${job}\n`);
}
