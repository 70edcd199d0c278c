import { createRequire } from "node:module";

/**
 * Give memory that is free back to the kernel (about 3 ms). A thread that has ended leaves its buffers with malloc, which keeps them for
 * a thread that may never come. Loads koffi at the first call.
 */
export function heapTrimmer(): () => void {
  let trim: (() => unknown) | undefined;
  return () => {
    if (trim === undefined) {
      const koffi: typeof import("koffi") = createRequire(import.meta.url)("koffi");
      const malloc_trim = koffi.load(null).func("int malloc_trim(size_t)");
      trim = () => malloc_trim(0);
    }
    trim();
  };
}
