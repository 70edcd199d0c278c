import {
  type CgroupHost,
  type CgroupTools,
  DevicePrograms,
  detectCgroups,
  type HostFeatures,
  lazyNative,
  readHostFeatures,
} from "@trimaran/linux";

/** What shim-runc knows of the machine. Read when first needed, and kept: none of it changes before a reboot. */
export class Kernel {
  readonly tools: CgroupTools;
  #cgroups: CgroupHost | undefined;
  #features: HostFeatures | undefined;

  constructor() {
    const native = lazyNative();
    this.tools = { native, devicePrograms: new DevicePrograms(native) };
  }

  get cgroups(): CgroupHost {
    this.#cgroups ??= detectCgroups();
    return this.#cgroups;
  }

  get features(): HostFeatures {
    this.#features ??= readHostFeatures();
    return this.#features;
  }
}
