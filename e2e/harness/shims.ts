import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { google } from "@trimaran/proto";
import { FakeContainerd, type Invoke, Shim, type ShimOptions, type StartStyle } from "@trimaran/shim-check";
import { ensureContainerd2, ensurePackages, ensureRecentRunsc } from "../../tools/debian.ts";
import { type Bundle, type BundleOptions, makeBundle } from "./bundle.ts";
import { cleanUp } from "./clean-up.ts";
import { BUILD_BIN } from "./containerd.ts";

/** A shim binary and how containerd of its time starts it. */
export interface ShimKind {
  readonly name: string;
  readonly binary: string;
  readonly style: StartStyle;
  readonly isControl: boolean;
  /** Each pod boots a machine. */
  readonly isMachine?: boolean;
  /** The binary's PATH, which decides which runc is taken. */
  readonly path: string;
  /** Added to the binary's environment. */
  readonly env?: NodeJS.ProcessEnv;
  /** Runtime options for `start`. */
  readonly options?: google.protobuf.Any;
  readonly invoke?: Invoke;
}

/** Debian 12's shim, Debian's newest, and ours as each containerd starts it. A binary that is missing is an error. */
export async function shimKinds(): Promise<ShimKind[]> {
  await ensurePackages();
  const wish = process.env.E2E_RUNTIMES ?? "all";
  if (wish === "gvisor") return await gvisorKinds();
  if (wish === "kata") return [kataKind()];
  const recent = join(await ensureContainerd2(), "bin");
  const rest = "/usr/sbin:/usr/bin:/sbin:/bin";
  const upstream = "containerd-shim-runc-v2";
  const control: ShimKind[] = [
    { name: "upstream 1.6", binary: `/usr/bin/${upstream}`, style: "1.6", isControl: true, path: rest },
    { name: "upstream 2.x", binary: `${recent}/${upstream}`, style: "2.1", isControl: true, path: `${recent}:${rest}` },
  ];
  const ours = (["1.6", "2.1", "2.3"] as const).map(
    (style): ShimKind => ({
      name: `trimaran as ${style}`,
      binary: trimaranShim(),
      style,
      isControl: false,
      path: rest,
    }),
  );
  if (wish === "control") return control;
  if (!existsSync(trimaranShim())) throw new Error(`${trimaranShim()}: not built; npm run build`);
  return wish === "trimaran" ? ours : [...control, ...ours];
}

/** Our shim over each runsc: Debian 12's, and that of its backports, which PATH decides. */
export async function gvisorKinds(): Promise<ShimKind[]> {
  if (!["all", "gvisor"].includes(process.env.E2E_RUNTIMES ?? "all")) return [];
  await ensurePackages();
  const recent = dirname(await ensureRecentRunsc());
  const rest = "/usr/sbin:/usr/bin:/sbin:/bin";
  const binary = gvisorShim();
  if (!existsSync(binary)) throw new Error(`${binary}: not built; npm run build`);
  return [
    { name: "gvisor, runsc 2022", binary, style: "1.6", isControl: false, path: rest },
    { name: "gvisor, runsc 2024", binary, style: "2.3", isControl: false, path: `${recent}:${rest}` },
  ];
}

/** Our shim for machines. Only by its own name: it takes its time. */
function kataKind(): ShimKind {
  const binary = join(BUILD_BIN, "containerd-shim-trimaran-kata-v2");
  if (!existsSync(binary)) throw new Error(`${binary}: not built; npm run build`);
  return {
    name: "kata",
    binary,
    style: "2.1",
    isControl: false,
    isMachine: true,
    path: "/usr/sbin:/usr/bin:/sbin:/bin",
  };
}

/** Our shim's binary. */
export function trimaranShim(): string {
  return join(BUILD_BIN, "containerd-shim-trimaran-runc-v2");
}

/** Our shim for runsc. */
export function gvisorShim(): string {
  return join(BUILD_BIN, "containerd-shim-trimaran-gvisor-v2");
}

/** A place to start shims of one kind in: a fake containerd, a namespace, ids, and an environment. */
export class ShimYard implements AsyncDisposable {
  readonly kind: ShimKind;
  readonly containerd: FakeContainerd;
  /** In every path, id, environment and cgroup of this yard. */
  readonly tag: string;
  readonly ids: string[] = [];
  readonly #shims: Shim[] = [];
  readonly #opened = new AsyncDisposableStack();

  private constructor(kind: ShimKind, containerd: FakeContainerd) {
    this.kind = kind;
    this.containerd = containerd;
    this.tag = containerd.dir.slice("/tmp/".length);
  }

  /** Open a yard. */
  static async open(kind: ShimKind): Promise<ShimYard> {
    return new ShimYard(kind, await FakeContainerd.open());
  }

  /** Where our shims keep their state. */
  get trimaranState(): string {
    return join(this.containerd.dir, "t");
  }

  /** Make a bundle that runs `args`, and what `start` needs for it. */
  async prepare(args: readonly string[], more: Partial<BundleOptions> = {}): Promise<PreparedShim> {
    const id = `${this.tag}-${this.ids.length}`;
    this.ids.push(id);
    const bundle = this.#opened.use(await makeBundle(this.containerd.dir, { namespace: this.tag, id, args, ...more }));
    const env = { ...this.kind.env, PATH: this.kind.path, TRIMARAN_STATE: this.trimaranState, TRIMARAN_E2E: this.tag };
    const { binary, style, options: own, invoke } = this.kind;
    const place = { containerd: this.containerd, namespace: this.tag, id, bundle: bundle.path };
    const options = { binary, style, ...place, env, ...(own && { options: own }), ...(invoke && { invoke }) };
    return { bundle, options };
  }

  /** The same, and `start`. */
  async start(args: readonly string[], more: Partial<BundleOptions> = {}): Promise<StartedShim> {
    const { bundle, options } = await this.prepare(args, more);
    const shim = await Shim.start(options);
    this.#shims.push(shim);
    const create = () => shim.task.create({ id: bundle.id, bundle: bundle.path, rootfs: bundle.mounts });
    return { bundle, shim, id: bundle.id, create };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const shim of this.#shims) shim.abandon(); // no harm if it was closed before
    await cleanUpYard(this); // kills and unmounts, so that the bundles can go
    await this.#opened.disposeAsync();
    await this.containerd[Symbol.asyncDispose]();
  }
}

/** A bundle, and the options of its shim. */
export interface PreparedShim {
  readonly bundle: Bundle;
  readonly options: ShimOptions;
}

/** A shim that has answered `start`. */
export interface StartedShim {
  readonly bundle: Bundle;
  readonly shim: Shim;
  readonly id: string;
  /** Create its container with the bundle's mounts and no stdio. */
  create(): Promise<{ readonly pid: number }>;
}

async function cleanUpYard(yard: ShimYard): Promise<void> {
  const { dir, address } = yard.containerd;
  const nobody = { ctr: async () => ({ stdout: "" }), kill: async () => undefined };
  await cleanUp({ ...nobody, tag: yard.tag, dir, namespace: yard.tag, address, ids: yard.ids });
}
