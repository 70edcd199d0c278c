/** Write CHECKS.md. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { CHECKS, checksPage, DEVIATIONS } from "./src/index.ts";

writeFileSync(join(import.meta.dirname, "CHECKS.md"), checksPage(CHECKS, DEVIATIONS));
