import { rmSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { type Breakage, calls, request } from "./breakage.ts";

export const STDIO: Readonly<Record<string, Breakage>> = {
  "stdio: stdout is lost": {
    caughtBy: [
      "stdio.complete",
      "stdio.only-stdout",
      "stdio.client-gone",
      "stdio.stdin-stays",
      "options.rootfs-read-only",
      "task.host-pids",
    ],
    hooks: request("Create", (create) => {
      create.stdout = "";
    }),
  },
  "stdio: stderr is lost": {
    caughtBy: ["stdio.only-stderr"],
    hooks: request("Create", (create) => {
      create.stderr = "";
    }),
  },
  "stdio: execs have none": {
    caughtBy: ["stdio.exec", "stdio.background-child"],
    hooks: request("Exec", (exec) => {
      exec.stdout = "";
    }),
  },
  "stdio: no terminal": {
    caughtBy: ["stdio.terminal"],
    hooks: request("Create", (create) => {
      create.terminal = false;
    }),
  },
  "stdio: waits for stdin's client": {
    caughtBy: ["stdio.stdin-unopened"],
    hooks: calls("Create", ({ request }) => (request.stdin === "" ? undefined : "never")),
  },
  "stdio: a file is begun anew": {
    caughtBy: ["stdio.file"],
    hooks: request("Create", ({ stdout }) => rmSync(String(stdout).replace("file://", ""), { force: true })),
  },
  "stdio: a logger's query is lost": {
    caughtBy: ["stdio.binary"],
    hooks: request("Create", (create) => {
      create.stdout = String(create.stdout).replace(/\?.*/, "");
    }),
  },
  "stdio: a stalled reader stalls all": {
    caughtBy: ["faults.stalled-reader"],
    hooks: calls("State", async ({ isStarted }) => {
      if (isStarted) await delay(3000);
      return undefined;
    }),
  },
};
