import { doctor } from "./doctor.ts";

/** The half of `trimaran doctor` that knows this runtime. The command starts it. */
const FAILED = 125;
const { PATH = "/usr/sbin:/usr/bin:/sbin:/bin" } = process.env;
if (process.argv[2] === "doctor") process.stdout.write(JSON.stringify(await doctor(PATH)));
else {
  process.stderr.write("trimaran: gvisor: doctor is all that it can\n");
  process.exitCode = FAILED;
}
