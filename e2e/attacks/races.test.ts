/**
 * A neighbour changes names in a volume, or in the image, while containers start. ATTACK_ROUNDS says how often (default 40 of each;
 * `npm run attacks:long`: 3000). The control is the naive runtime: it must lose in as many rounds, so that a round is known to be a chance.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { Finished } from "../harness/process.ts";
import { AttackBed } from "./bed/bed.ts";
import { baseConfig, bind, type Config, mount } from "./bed/config.ts";
import { Flipper } from "./bed/flipper.ts";
import { ShimRunner } from "./bed/shim-runner.ts";

const ROUNDS = Number(process.env.ATTACK_ROUNDS ?? 40);
const LIMIT = { timeout: 60_000 + ROUNDS * 4_000 };

interface Race {
  readonly script: string;
  /** Make the image; the pairs of names to be exchanged. */
  readonly pairs: (bed: AttackBed) => readonly (readonly [string, string])[];
  readonly config: (config: Config, bed: AttackBed) => unknown;
  /** Whether this round was lost. Damage outside is looked for, too. */
  readonly lost?: (outcome: Finished, bed: AttackBed) => boolean;
}

/** How many rounds were lost, and in how many a container ran: of `most`, or of more until one has run; ends when `enough` are lost. Ours go through the shim. */
async function play(race: Race, runtime: "naive" | "shim", most: number, enough: number) {
  await using shim = await ShimRunner.open();
  await using bed = new AttackBed();
  const pairs = race.pairs(bed);
  let lost = 0;
  let ran = 0;
  {
    await using _ = new Flipper(pairs);
    for (let round = 0; (round < most || (ran === 0 && round < most * 5)) && lost < enough; round++) {
      const config = baseConfig(["sh", "-c", race.script]);
      race.config(config, bed);
      const outcome = await (runtime === "naive" ? bed.run("naive", config) : shim.run(bed, config));
      if (outcome.code === 0) ran++;
      if (race.lost?.(outcome, bed) === true || bed.damage() !== "") lost++;
    }
  }
  return { lost, ran };
}

function race(name: string, what: Race): void {
  test(name, LIMIT, async (t) => {
    const control = await play(what, "naive", ROUNDS * 2, 1);
    assert.equal(control.lost, 1, "the naive runtime never lost: this race proves nothing");
    const { lost, ran } = await play(what, "shim", ROUNDS, Number.POSITIVE_INFINITY);
    t.diagnostic(`${ran} of ${ROUNDS} containers ran, the others were refused; ${lost} lost`);
    assert.ok(ran > 0, "no container ever started: nothing was shown");
    assert.equal(lost, 0);
  });
}

race("CVE-2021-30465, CVE-2024-45310: the target of a mount below a shared volume becomes a link", {
  script: "true",
  pairs: (bed) => {
    mkdirSync(join(bed.volume, "dir"));
    symlinkSync(bed.canary, join(bed.volume, "link"));
    return [[join(bed.volume, "dir"), join(bed.volume, "link")]];
  },
  config: ({ mounts }, bed) => {
    mounts.push(bind(bed.volume, "/mnt"));
    for (let i = 0; i < 8; i++) mounts.push(mount(`/mnt/dir/made-${i}`, "tmpfs"));
  },
});

/**
 * Every name under which a procfs may be in sight, each entered once, so that what is said of it is said of one mount whatever its name is by then.
 * `bare`: a mask or a read-only path is missing on it.
 */
const LOOK_AT_PROC = `
for place in /proc /link /fake; do
	cd $place 2>/dev/null && [ -e self/status ] || continue
	[ $place = /fake ] && echo elsewhere
	[ -z "$(head -c 1 keys 2>/dev/null)$(head -c 1 kcore 2>/dev/null)" ] || echo bare
	{ echo 1 >sys/kernel/hostname; } 2>/dev/null && echo bare
done
true`;

race("CVE-2023-27561: /proc of the image becomes a link to a volume, where proc is mounted without its masks", {
  // Whoever owns the image can hide the container's /proc at any time, see the next test. What he must not get is one in a place of his own, or without masks.
  script: LOOK_AT_PROC,
  pairs: (bed) => {
    mkdirSync(bed.path("fake"));
    symlinkSync("fake", bed.path("link"));
    return [[bed.path("proc"), bed.path("link")]];
  },
  config: () => undefined,
  lost: ({ stdout }) => stdout !== "",
});

test("CVE-2023-27561: who owns the image hides a running container's /proc, and looks at it as before: masked, in one place", async () => {
  // What a first form of the race counted as lost: /proc is not procfs, then it is no link. It takes no race: a mount goes with the directory that it is on.
  await using bed = new AttackBed();
  mkdirSync(bed.path("fake"));
  await using _ = await bed.start(baseConfig(["sleep", "1000"]));
  const ask = async (script: string) => (await bed.oci(["exec", bed.id, "sh", "-c", script])).stdout;
  renameSync(bed.path("proc"), bed.path("link"));
  symlinkSync("fake", bed.path("proc"));
  assert.equal(await ask("test -e /proc/self/status || echo fake"), "fake\n");
  assert.equal(await ask(`test -e /link/self/status && echo moved; ${LOOK_AT_PROC}`), "moved\n", "with its masks");
  rmSync(bed.path("proc"));
  renameSync(bed.path("link"), bed.path("proc"));
  assert.equal(await ask(`readlink /proc; ${LOOK_AT_PROC}`), "", "and nothing has come of it");
});

race("CVE-2025-31133: /dev/null of the image becomes a link while masks are made", {
  script: "head -c 3 /proc/keys",
  pairs: (bed) => {
    writeFileSync(bed.path("tmp/target"), "own");
    symlinkSync("../tmp/target", bed.path("dev/link"));
    execFileSync("mknod", ["-m", "666", bed.path("dev/null"), "c", "1", "3"]);
    return [[bed.path("dev/null"), bed.path("dev/link")]];
  },
  config: (config) => {
    config.mounts = config.mounts.filter(({ destination }) => !destination.startsWith("/dev"));
  },
  lost: ({ stdout }) => stdout === "own",
});

race("CVE-2026-41579: /dev of the image becomes a link", {
  script: "true",
  pairs: (bed) => {
    symlinkSync(bed.canary, bed.path("link"));
    return [[bed.path("dev"), bed.path("link")]];
  },
  config: (config) => {
    config.mounts = config.mounts.filter(({ destination }) => !destination.startsWith("/dev"));
  },
});

const DIRECTORIES = 10;

race("CVE-2026-53489: directories that a tmpfs copies up become links to the host", {
  script: "grep -r host /mnt/vol && echo leaked; true",
  pairs: (bed) => {
    const vol = join(bed.volume, "vol");
    return Array.from({ length: DIRECTORIES }, (_, i) => {
      mkdirSync(join(vol, `d${i}`), { recursive: true });
      writeFileSync(join(vol, `d${i}/secret`), "own");
      symlinkSync(join(bed.canary, "sub"), join(bed.volume, `l${i}`));
      return [join(vol, `d${i}`), join(bed.volume, `l${i}`)] as const;
    });
  },
  config: ({ mounts }, bed) => {
    mounts.push(bind(bed.volume, "/mnt"), mount("/mnt/vol", "tmpfs", "tmpcopyup"));
  },
  lost: ({ stdout }) => stdout.includes("leaked"),
});

race("the working directory becomes a link", {
  script: "true",
  pairs: (bed) => {
    mkdirSync(bed.path("work"));
    symlinkSync(bed.canary, bed.path("link"));
    return [[bed.path("work"), bed.path("link")]];
  },
  config: ({ process }) => {
    process.cwd = "/work/made/deep";
  },
  lost: (_, bed) => existsSync(join(bed.canary, "made")) || readdirSync(bed.canary).length > 3,
});
