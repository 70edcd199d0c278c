import assert from "node:assert/strict";
import { test } from "node:test";
import type { Finished } from "../../harness/process.ts";
import { AttackBed } from "./bed.ts";
import { baseConfig, type Config } from "./config.ts";

/** An attack that a config and an image are enough for. */
export interface Attack {
  /** What the container's shell does. */
  readonly script: string;
  /** Make image and volume hostile. */
  readonly image?: (bed: AttackBed) => unknown;
  readonly config?: (config: Config, bed: AttackBed) => unknown;
  /** Whether the attacker has got what he wanted. */
  readonly succeeded: (outcome: Finished, bed: AttackBed) => boolean;
  /** What ours has to say; without it the container has to run, and to end with 0. */
  readonly refused?: RegExp;
}

/** The attack must succeed against the naive runtime, or it would prove nothing; it must fail against ours, for the reason that is meant. */
export function attack(name: string, { script, image, config, succeeded, refused }: Attack): void {
  test(name, { timeout: 60_000 }, async () => {
    for (const runtime of ["naive", "trimaran-oci"] as const) {
      await using bed = new AttackBed();
      image?.(bed);
      const made = baseConfig(["sh", "-c", script]);
      config?.(made, bed);
      const outcome = await bed.run(runtime, made);
      const said = JSON.stringify(outcome);
      assert.equal(succeeded(outcome, bed), runtime === "naive", `${runtime}: ${said}\n${bed.damage()}`);
      if (runtime === "naive") continue;
      assert.equal(bed.damage(), "");
      if (refused === undefined) assert.equal(outcome.code, 0, said);
      else assert.match(outcome.stderr, refused);
    }
  });
}
