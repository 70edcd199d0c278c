import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { QuietTime } from "./quiet-time.ts";

test("the work is done once, when it has been quiet for long enough, and again after more has happened", (t) => {
  mock.timers.enable({ apis: ["setTimeout"] });
  t.after(() => mock.timers.reset());
  let done = 0;
  using quiet = new QuietTime(100, () => done++);
  mock.timers.tick(1000);
  assert.equal(done, 0);
  quiet.touch();
  mock.timers.tick(100);
  mock.timers.tick(1000);
  assert.equal(done, 1);
  quiet.touch();
  mock.timers.tick(100);
  assert.equal(done, 2);
  quiet.touch();
  quiet[Symbol.dispose]();
  mock.timers.tick(1000);
  assert.equal(done, 2);
});
