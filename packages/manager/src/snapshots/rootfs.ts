/** A root filesystem: read-only directories, topmost first, below a writable one; or one directory used as it is. */
export type Rootfs =
  | { readonly kind: "overlay"; readonly layers: readonly string[] }
  | { readonly kind: "direct"; readonly path: string };
