import assert from "node:assert/strict";
import { test } from "node:test";
import { disassemble } from "@trimaran/linux";
import { serveProgram } from "./serve-program.ts";

const PLAN = {
  image: "/proc/1/fd/9",
  socket: "/run/x.sock",
  bundle: "/bundle",
  argv: ["shim"],
  env: {},
  oomScoreAdj: 1,
  attachFiles: [],
  coreScheduling: false,
};
const calls = (plan: typeof PLAN) =>
  disassemble(serveProgram(plan))
    .steps.filter(({ call }) => call === "prctl" || call === "CLONE")
    .map((step) => `${step.call}(${step.arguments.join(", ")})`);

test("SCHED_CORE: a new cookie for the starter's process group, before the monitor is cloned, which inherits it", () => {
  const without = calls(PLAN);
  assert.match(without[0] ?? "", /^CLONE/);
  const withCookie = calls({ ...PLAN, coreScheduling: true });
  assert.equal(withCookie[0], "prctl(62, 1, 0, 2)"); // PR_SCHED_CORE, CREATE, self, PROCESS_GROUP; no errno is tolerated
  assert.deepEqual(withCookie.slice(1), without);
});
