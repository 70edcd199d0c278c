import { mkdtempSync, rmSync } from "node:fs";
import { readdir, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { EngineVersion, RuntimeHandler } from "../config.ts";
import { type Engine, startContainerd } from "../containerd.ts";
import { APP_IMAGE, buildImages, IMAGE, PAUSE_IMAGE } from "../images.ts";
import { KataTemplates } from "../kata-templates.ts";
import { assertNoLeaks, snapshot } from "../leaks.ts";
import { chosen } from "../matrix.ts";
import { PATIENCE } from "../patience.ts";
import { CONTROL, GVISOR, KATA, TRIMARAN } from "../runtimes.ts";
import { CriClient } from "./client.ts";
import { type HandlerOptions, writeHandler } from "./handler.ts";
import { openPodNetwork } from "./network.ts";
import { Pod, type PodOptions } from "./pod.ts";

/** Pods in machines take minutes under emulation: they run when they are asked for, and in a part of their own. */
const RUNTIMES: Readonly<Record<string, string>> =
  process.env.E2E_RUNTIMES === "kata" ? { kata: KATA } : { control: CONTROL, trimaran: TRIMARAN, gvisor: GVISOR };

const CONTROL_TRIES = 4;
const CGROUPS = "/sys/fs/cgroup";
/** containerd's namespace of all that CRI makes. */
const CRI_NAMESPACE = "k8s.io";

/** What a scenario has: one containerd with its CRI plugin, one runtime. */
export interface CriBox {
  readonly engine: Engine;
  readonly cri: CriClient;
  /** The bridge's name on the host; "" where all pods have the host's network. */
  readonly bridge: string;
}

/** Where the scenarios that are being defined will run. */
export interface CriPlace {
  readonly version: EngineVersion;
  readonly runtime: string;
  readonly isControl: boolean;
  readonly isGvisor: boolean;
  readonly isKata: boolean;
  /** A test with a pod of its own, which is stopped and removed, and nothing of it may be left. */
  withPod(
    name: string,
    body: (pod: Pod, box: CriBox) => Promise<void>,
    options?: (box: CriBox) => Partial<PodOptions>,
  ): void;
  /** A test of what no pod comes of. */
  without(name: string, body: (box: CriBox) => Promise<void>): void;
}

/** How a file's containerds differ from the plain one. */
export interface CriMatrixOptions {
  readonly engines?: readonly EngineVersion[];
  /** Default: all. */
  readonly runtimes?: readonly string[];
  /** All its pods have the host's network: none is made for them. */
  readonly hostNetwork?: boolean;
  /** Handlers by name, besides `own`. */
  readonly handlers?: (version: EngineVersion) => Readonly<Record<string, HandlerOptions>>;
}

/** What a kubelet does, without one: CRI's own calls at containerd's CRI plugin, over containerd {1.6, 2.x} and the runtimes. */
export function criMatrix(name: string, scenarios: (place: CriPlace) => void, options: CriMatrixOptions = {}): void {
  for (const version of chosen<EngineVersion>("E2E_ENGINES", { "1.6": "1.6", "2.x": "2.x" })) {
    if (options.engines?.includes(version) === false) continue;
    for (const runtime of chosen("E2E_RUNTIMES", RUNTIMES)) {
      if (options.runtimes?.includes(runtime) === false) continue;
      describe(`${name}: ${runtime} on containerd ${version}`, { timeout: 300_000 * PATIENCE }, () => {
        suite(version, runtime, options, scenarios);
      });
    }
  }
}

function suite(
  version: EngineVersion,
  runtime: string,
  options: CriMatrixOptions,
  scenarios: (place: CriPlace) => void,
): void {
  const stack = new AsyncDisposableStack();
  let box: CriBox;
  before(async () => {
    box = await openBox(stack, version, runtime, options);
  });
  after(() => stack.disposeAsync());
  scenarios({
    ...{ version, runtime },
    ...{ isControl: runtime === CONTROL, isGvisor: runtime === GVISOR, isKata: runtime === KATA },
    withPod: (name, body, options = () => ({})) => {
      test(name, async (t) => {
        // containerd may end an attached client before it has told the last line: the control may try again, ours may not
        for (let tries = runtime === CONTROL ? CONTROL_TRIES : 1; ; tries--) {
          try {
            return await runInPod(box, options(box), body);
          } catch (error) {
            if (tries === 1) throw error;
            t.diagnostic(`tried again after: ${error}`);
          }
        }
      });
    },
    without: (name, body) => {
      test(name, () => body(box));
    },
  });
}

async function openBox(
  stack: AsyncDisposableStack,
  version: EngineVersion,
  runtime: string,
  { handlers = () => ({}), hostNetwork = false }: CriMatrixOptions,
): Promise<CriBox> {
  const folder = mkdtempSync(join(tmpdir(), "trimaran-cri-"));
  stack.defer(() => rmSync(folder, { recursive: true }));
  const runtimes: Record<string, RuntimeHandler> = {};
  for (const [name, options] of Object.entries({ own: {}, ...handlers(version) }))
    runtimes[name] = await writeHandler(join(folder, `${name}.toml`), runtime, version, options);
  const engine = stack.use(await startContainerd({ version, cri: true, sandboxImage: PAUSE_IMAGE, runtimes }));
  if (runtime === KATA) stack.use(new KataTemplates()).serve(engine.trimaranState);
  const bridge = hostNetwork ? "" : stack.use(await openPodNetwork(engine)).bridge;
  const cri = stack.use(new CriClient(engine.address));
  await cri.ready();
  await importImages(engine, cri);
  return { engine, cri, bridge };
}

async function runInPod(
  box: CriBox,
  options: Partial<PodOptions>,
  body: (pod: Pod, box: CriBox) => Promise<void>,
): Promise<void> {
  const { cri, engine } = box;
  // of the namespace that is the engine's alone: in k8s.io are the pods of all that run
  const scope = (ids: string[]) => ({
    ...{ tag: engine.tag, dir: engine.dir, namespace: engine.namespace, address: engine.address, ids },
    ...{ pid: engine.pid, taskServerPids: () => engine.taskServerPids() },
  });
  const clean = await snapshot(scope([]));
  const ids: string[] = [];
  {
    await using pod = await Pod.run(cri, engine, { handler: "own", ...options });
    await body(pod, box);
    ids.push(...pod.ids);
  }
  await removePodsCgroup(engine);
  await assertNoLeaks(scope(ids), clean);
}

/** What a kubelet does with the pods' common parent. What is below it keeps it there, and is told. */
async function removePodsCgroup({ tag }: Engine): Promise<void> {
  const hierarchies = (await readdir(CGROUPS)).map((name) => join(CGROUPS, name, tag));
  for (const path of [join(CGROUPS, tag), ...hierarchies]) await rmdir(path).catch(() => undefined);
}

/** Into CRI's own namespace; it hears of them by an event. */
export async function importImages(engine: Engine, cri: CriClient): Promise<void> {
  const { oci } = await buildImages();
  await engine.ctrOk("--namespace", CRI_NAMESPACE, "images", "import", oci);
  for (const image of [IMAGE, APP_IMAGE, PAUSE_IMAGE])
    while ((await cri.call("ImageStatus", { image: { image } })).image === undefined) await delay(20);
}
