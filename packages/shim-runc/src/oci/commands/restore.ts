import { mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Cgroup, describeFailure, hostPath, InvalidSpec, parseResources, parseSpec, planCgroup } from "@trimaran/linux";
import { cgroupViews } from "../../cgroup-views.ts";
import { NEWS_SLOT, type RestorePlan, restoredPid, tellVerdict, toRun } from "../../criu/restore-plan.ts";
import { type CriuRun, criuFailure, criuProgram, describeExit } from "../../criu/run.ts";
import { runHooks } from "../../hooks.ts";
import type { Command } from "../context.ts";
import { attend } from "../foreground.ts";
import { toRecord } from "../make.ts";
import { PassingMonitor } from "../passing-monitor.ts";
import { find, stateFor } from "../status.ts";
import { wire } from "../stdio.ts";
import { writeWhole } from "../store.ts";
import { criuPlaces, refuse, requireCriu, searchPathOf } from "./checkpoint.ts";
import { onlyId } from "./create.ts";
import { removeContainer } from "./delete.ts";
import { runPoststart } from "./start.ts";

const REFUSED = ["console-socket", "no-pivot", "lazy-pages", "lsm-profile", "lsm-mount-context", "auto-dedup"];

/** Restore a container from a checkpoint; without --detach also wait, hand its exit code on, and delete it. */
export const restore: Command = async (context, flags, words) => {
  refuse("restore", flags, REFUSED);
  const { store, kernel, cwd } = context;
  const id = onlyId(words);
  const detached = flags.has("detach");
  const bundle = resolve(cwd, flags.text("bundle") ?? ".");
  const { images, work } = criuPlaces(context, flags);
  const criu = requireCriu(context);
  const config = readFileSync(join(bundle, "config.json"));
  const spec = parseSpec(config);
  if (spec.process?.terminal === true)
    throw new InvalidSpec("process.terminal", "a container with a terminal can't be restored");
  readFileSync(join(images, "inventory.img"));
  const cgroupPlan = planCgroup(kernel.cgroups, spec.linux.cgroupsPath, id);
  store.reserve(id);
  const folder = store.folder(id, "criu");
  await using monitor = await PassingMonitor.open(kernel.tools.native, context.monitorProgram);
  let cgroup: Cgroup | undefined;
  let isMade = false;
  try {
    store.begin(id, cgroupPlan);
    for (const directory of [folder, work]) mkdirSync(directory, { recursive: true, mode: 0o700 });
    const devices = !spec.linux.namespaces.has("user");
    const resources = parseResources(spec.linux.resources);
    cgroup = Cgroup.create(kernel.cgroups, cgroupPlan, resources, kernel.tools, { adopt: true, devices });
    const mounted = { spec, bundle, cgroups: cgroupViews(kernel.cgroups, cgroupPlan) };
    const plan: RestorePlan = {
      criu,
      searchPath: searchPathOf(context.env),
      images,
      work,
      folder,
      target: hostPath(bundle, spec.root.path),
      rootfs: [],
      bundle,
      spec,
      cgroup: cgroupPlan,
      mounted,
      features: kernel.features,
    };
    const done = begin(monitor, { ...toRun(plan, "criu"), cgroup }, folder);
    const pid = await done.restored;
    const init = monitor.launch(`adopt/${pid}`, {
      program: new Uint8Array(0),
      describe: () => new Error("the restored process has ended"),
      onSync: () => Promise.reject(new Error("nothing to answer")),
    });
    await init.spawned();
    const options = { id, bundle, newKeyring: true };
    store.write(toRecord(options, spec, cgroupPlan, pid), config);
    isMade = true;
    const { prestart, createRuntime } = spec.hooks;
    await runHooks([...prestart, ...createRuntime], stateFor(find(context, id), "running", spec), bundle);
    const pidFile = flags.text("pid-file");
    if (pidFile !== undefined) writeWhole(resolve(cwd, pidFile), String(pid));
    tellVerdict(folder, "go");
    await done.ended;
    await runPoststart(context, find(context, id));
    if (detached) return 0;
    const code = await attend(init, false);
    await removeContainer(context, find(context, id));
    return code;
  } catch (error) {
    tellVerdict(folder, "no");
    await cgroup?.kill();
    if (isMade) await removeContainer(context, find(context, id));
    else {
      await cgroup?.remove();
      store.remove(id);
    }
    throw error;
  }
};

/** Let criu begin. `restored` resolves with init's pid, when it is there and stands still; `ended` with criu's good end. */
function begin(monitor: PassingMonitor, run: CriuRun, folder: string) {
  const wiring = wire({
    process: { terminal: false, consoleSize: undefined },
    consoleSocket: undefined,
    preserve: 0,
    fifo: undefined,
  });
  const program = criuProgram(
    {
      ...run,
      prelude(b) {
        wiring.prelude(b);
        run.prelude?.(b);
      },
    },
    wiring.stdio,
  );
  const news = Promise.withResolvers<void>();
  const process = monitor.launch(run.key, {
    program: program.bytes,
    watches: [NEWS_SLOT],
    onWatch: news.resolve,
    describe: (step, errno) => new Error(describeFailure(program, step, errno)),
    onSync: () => Promise.reject(new Error("nothing to answer")),
  });
  const ended = (async () => {
    await process.reachedGate();
    process.openGate();
    const { exit } = await process.exited();
    if (exit.kind === "exited" && exit.code === 0) return;
    await process.execed();
    throw new Error(criuFailure(run, describeExit(exit)));
  })();
  const restored = (async () => {
    await Promise.race([news.promise, ended]);
    const pid = restoredPid(folder);
    if (pid === undefined) throw new Error("criu restore: ended without a process");
    return pid;
  })();
  restored.catch(() => undefined);
  ended.catch(() => undefined);
  return { restored, ended };
}
