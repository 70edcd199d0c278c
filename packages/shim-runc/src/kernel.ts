import {
  type CgroupHost,
  type CgroupTools,
  DevicePrograms,
  detectCgroups,
  findResctrl,
  type HostFeatures,
  lazyNative,
  readHostFeatures,
} from "@trimaran/linux";

/** What shim-runc knows of the machine. Read when first needed, and kept where it does not change before a reboot. */
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

  /** Where resctrl is mounted, if it is: an operator may do that at any time. */
  resctrl(): string | undefined {
    return findResctrl();
  }

  get features(): HostFeatures {
    this.#features ??= readHostFeatures();
    return this.#features;
  }
}
