import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Cgroup,
  type CgroupHost,
  compileExec,
  compileInit,
  InvalidSpec,
  type OomWatch,
  type Process,
  type Program,
  type ProgramBuilder,
  parseResources,
  parseSpec,
  planCgroup,
  planResctrl,
  planScope,
  presentTasks,
  readDevices,
  resctrlTasks,
  type StdioPlan,
} from "@trimaran/linux";
import { isTraced } from "@trimaran/proto";
import { type CreateRequest, keepOomCount, watchOom } from "@trimaran/shim-core";
import { cgroupViews } from "./cgroup-views.ts";
import { isCrowded } from "./held-scope.ts";
import type { Kernel } from "./kernel.ts";
import type { Layout } from "./layout.ts";
import { parseOptions } from "./options.ts";
import type { SeccompFilters } from "./seccomp-filters.ts";

/** What launch programs are compiled with: by the runtime, which runs them, and by `trimaran explain`, which prints them. */
export interface Compiler {
  readonly kernel: Kernel;
  readonly filters: SeccompFilters;
  /** Of compiled seccomp filters. */
  readonly cacheDirectory: string;
}

/** The config.json of a bundle. Throws InvalidSpec. */
export function readConfig(bundle: string): Buffer {
  try {
    return readFileSync(join(bundle, "config.json"));
  } catch (error) {
    throw new InvalidSpec(
      "config.json",
      `can't be read from the bundle ${bundle} (${error instanceof Error ? error.message : error})`,
    );
  }
}

/** Work out everything that request and config.json determine. Makes nothing. Throws InvalidSpec, InvalidArgument. */
export function planLayout(request: CreateRequest, config: Uint8Array, cgroups: CgroupHost): Layout {
  const options = parseOptions(request.options);
  const spec = parseSpec(config);
  const plan = options.systemdCgroup ? planScope : planCgroup;
  const cgroupPlan = plan(cgroups, spec.linux.cgroupsPath, request.id);
  return { request, spec, options, cgroupPlan, resctrl: planResctrl(spec.linux.intelRdt, request.id) };
}

/** The program of a container's first process. `isReplay`: the process is there, and the program will not run again. */
export function compileStart(
  { kernel, filters, cacheDirectory }: Compiler,
  plan: { readonly layout: Layout; readonly cgroup: Cgroup; readonly stdio: StdioPlan; readonly isReplay: boolean },
): Program {
  const { layout, cgroup, stdio, isReplay } = plan;
  const { request, spec } = layout;
  const seccomp = filters.compile(spec.linux.seccomp, cacheDirectory);
  const watch = cgroup.oomWatch();
  const prepareWatch = (builder: ProgramBuilder, oom: OomWatch): void => {
    watchOom(builder, oom);
    if (layout.cgroupPlan.scope !== undefined) keepOomCount(builder, oom);
  };
  const isCloned = layout.cgroupPlan.scope === undefined || !isCrowded(parseResources(spec.linux.resources));
  const into = isCloned ? cgroup.unifiedDirectory() : undefined;
  return compileInit({
    id: request.id,
    spec,
    bundle: request.bundle,
    rootfs: request.rootfs,
    stdio,
    cgroup: {
      attachFiles: cgroup.attachFiles({ clonedIntoUnified: isCloned }),
      ...(into === undefined ? {} : { into }),
      ownDirs: cgroupViews(kernel.cgroups, layout.cgroupPlan),
    },
    resctrlTasks: resctrlTasks(spec.linux.intelRdt, layout.resctrl),
    ...(seccomp === undefined ? {} : { seccomp }),
    // In a replay after the clone they may have been moved.
    netDevices: isReplay ? [] : readDevices(spec.linux.netDevices, "throw"),
    host: kernel.features,
    newKeyring: !layout.options.noNewKeyring,
    timed: isTraced(),
    ...(watch === undefined ? {} : { prelude: (builder) => prepareWatch(builder, watch) }),
  });
}

/** The program of a further process: another one with `setns` at its head. An exec makes no new namespaces. */
export function compileJoin(
  { kernel, filters, cacheDirectory }: Compiler,
  plan: {
    readonly layout: Layout;
    readonly cgroup: Cgroup;
    readonly stdio: StdioPlan;
    readonly process: Process;
    readonly initPid: number;
  },
): Program {
  const { layout, cgroup, stdio, process, initPid } = plan;
  const seccomp = filters.compile(layout.spec.linux.seccomp, cacheDirectory);
  const into = cgroup.entryDirectory(initPid);
  return compileExec({
    id: layout.request.id,
    process,
    spec: layout.spec,
    init: { pid: initPid },
    stdio,
    cgroup: {
      attachFiles: cgroup.attachFiles({ clonedIntoUnified: true }),
      ...(into === undefined ? {} : { into }),
    },
    resctrlTasks: presentTasks(layout.resctrl),
    ...(seccomp === undefined ? {} : { seccomp }),
    host: kernel.features,
    newKeyring: !layout.options.noNewKeyring,
    timed: isTraced(),
  });
}
