export { type CommitRequest, commitContainer } from "./commit-container.ts";
export { containerChanges } from "./container-changes.ts";
export { type ContainerLayer, containerLayers, type LayerEntry, layersWithPath } from "./container-layers.ts";
export type { RootfsChange } from "./rootfs-changes.ts";
