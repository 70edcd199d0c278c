import { Bundle, type BundleOptions } from "@trimaran/shim-check";
import { buildRootfs } from "./images.ts";

export { type Bundle, type BundleOptions, ociProcess } from "@trimaran/shim-check";

/** Make a bundle below `dir`; its rootfs is an overlay over the test image's folder. */
export async function makeBundle(dir: string, options: BundleOptions): Promise<Bundle> {
  return await Bundle.make(dir, await buildRootfs(), options);
}
