import { writeSync } from "node:fs";
import { Database } from "../database.ts";
import { runTransaction } from "./crash-job.ts";

/** Transactions one after the other from a number on, each called done when it is committed, until somebody kills the process. */
const [path = "", first = "0"] = process.argv.slice(2);
const database = Database.open(path);
for (let number = Number(first); ; number++) {
  runTransaction(database, number);
  writeSync(1, `${number}\n`);
}
