import {
  type CgroupHost,
  type CgroupTools,
  DevicePrograms,
  detectCgroups,
  type HostFeatures,
  lazyNative,
  readHostFeatures,
} from "@trimaran/linux";
import { findBinary, identityOf, inspectBinary, type RunscBinary } from "./runsc/binary.ts";
import { Platforms } from "./runsc/platform.ts";

/** What the shim knows of the machine: its kernel, its runsc. Looked at when first needed. */
export class Machine {
  readonly tools: CgroupTools;
  readonly platforms: Platforms;
  readonly searchPath: string;
  readonly #binaries = new Map<string, Promise<RunscBinary>>();
  #cgroups: CgroupHost | undefined;
  #features: HostFeatures | undefined;

  constructor(searchPath: string) {
    const native = lazyNative();
    this.tools = { native, devicePrograms: new DevicePrograms(native) };
    this.platforms = new Platforms(searchPath);
    this.searchPath = searchPath;
  }

  get cgroups(): CgroupHost {
    this.#cgroups ??= detectCgroups();
    return this.#cgroups;
  }

  get features(): HostFeatures {
    this.#features ??= readHostFeatures();
    return this.#features;
  }

  /** The runsc of that name, asked once for what it knows: a new file is asked again. Throws FailedPrecondition with the fix. */
  async runsc(name: string): Promise<RunscBinary> {
    const path = findBinary(name, this.searchPath);
    const identity = identityOf(path);
    const known = this.#binaries.get(identity);
    if (known) return await known;
    const asked = inspectBinary(path);
    this.#binaries.set(identity, asked);
    asked.catch(() => this.#binaries.delete(identity));
    return await asked;
  }
}
