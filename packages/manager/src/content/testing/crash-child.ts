/** `crash-child.ts ROOT JOB`: run jobs from JOB on and say which are done, until killed. */
import { writeSync } from "node:fs";
import { ContentFiles } from "../content-files.ts";
import { runJob } from "./crash-job.ts";

const [root = "", first = "0"] = process.argv.slice(2);
const files = await ContentFiles.open(root, () => BigInt(Date.now()) * 1_000_000n);
writeSync(1, "ready\n");
for (let job = Number(first); ; job++) {
  await runJob(files, job);
  writeSync(1, `${job}\n`);
}
