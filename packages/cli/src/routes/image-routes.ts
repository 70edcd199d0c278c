import { buildCommand, buildRouteMap } from "@stricli/core";
import { proposeImages } from "../completion/propose.ts";
import { managerFlags } from "../flags/manager-flags.ts";
import { registryAliases, registryFlags } from "../flags/registry-flags.ts";
import { listFlags, off } from "./parameters.ts";

const { platform } = registryFlags;
const oneImage = {
  kind: "tuple",
  parameters: [{ brief: "an image's name", parse: String, placeholder: "IMAGE", proposeCompletions: proposeImages }],
} as const;

/** `trimaran pull`. */
export const pullCommand = buildCommand({
  loader: async () => (await import("../commands/images/pull.ts")).pullCommand,
  parameters: { flags: registryFlags, aliases: registryAliases, positional: oneImage },
  docs: {
    brief: "bring an image from a registry",
    customUsage: ["busybox", "-u bob example.org/app:1", "[FLAGS] IMAGE"],
  },
});

/** `trimaran push`. */
export const pushCommand = buildCommand({
  loader: async () => (await import("../commands/images/push.ts")).pushCommand,
  parameters: {
    flags: registryFlags,
    aliases: registryAliases,
    positional: {
      kind: "array",
      parameter: {
        brief: "an image, and its name in the registry if that is another",
        parse: String,
        placeholder: "IMAGE",
      },
      minimum: 1,
      maximum: 2,
    },
  },
  docs: { brief: "bring an image into a registry", customUsage: ["example.org/app:1", "[FLAGS] IMAGE [TARGET]"] },
});

/** `trimaran import`. */
export const importCommand = buildCommand({
  loader: async () => (await import("../commands/images/import.ts")).importCommand,
  parameters: {
    flags: { platform, quiet: { ...off, brief: "no progress" }, ...managerFlags },
    aliases: { q: "quiet" },
    positional: {
      kind: "tuple",
      parameters: [{ brief: "an OCI layout or a docker archive; - is stdin", parse: String, placeholder: "FILE" }],
    },
  },
  docs: { brief: "take images from an archive", customUsage: ["busybox.tar", "[FLAGS] FILE"] },
});

/** `trimaran export`. */
export const exportCommand = buildCommand({
  loader: async () => (await import("../commands/images/export.ts")).exportCommand,
  parameters: {
    flags: { platform, ...managerFlags },
    positional: {
      kind: "array",
      parameter: { brief: "where to (- is stdout), then the images", parse: String, placeholder: "FILE IMAGE" },
      minimum: 2,
    },
  },
  docs: { brief: "write images to an archive", customUsage: ["busybox.tar busybox", "[FLAGS] FILE IMAGE…"] },
});

const listCommand = buildCommand({
  loader: async () => (await import("../commands/images/list.ts")).imagesCommand,
  parameters: { flags: { ...listFlags, ...managerFlags }, aliases: { q: "quiet" } },
  docs: { brief: "list images", customUsage: ["", "--json"] },
});

const removeCommand = buildCommand({
  loader: async () => (await import("../commands/images/remove.ts")).removeImagesCommand,
  parameters: {
    flags: managerFlags,
    positional: {
      kind: "array",
      parameter: { brief: "names of images", parse: String, placeholder: "IMAGE", proposeCompletions: proposeImages },
      minimum: 1,
    },
  },
  docs: { brief: "remove images", customUsage: ["busybox", "[FLAGS] IMAGE…"] },
});

const tagCommand = buildCommand({
  loader: async () => (await import("../commands/images/tag.ts")).tagCommand,
  parameters: {
    flags: managerFlags,
    positional: {
      kind: "tuple",
      parameters: [
        { brief: "an image's name", parse: String, placeholder: "IMAGE" },
        { brief: "another name for it", parse: String, placeholder: "TARGET" },
      ],
    },
  },
  docs: { brief: "give an image another name", customUsage: ["busybox example.org/busybox:1", "[FLAGS] IMAGE TARGET"] },
});

const inspectCommand = buildCommand({
  loader: async () => (await import("../commands/images/inspect.ts")).inspectImageCommand,
  parameters: { flags: managerFlags, positional: oneImage },
  docs: { brief: "show what there is of an image", customUsage: ["busybox", "[FLAGS] IMAGE"] },
});

/** `trimaran images …`; alone it lists. */
export const imageRoutes = buildRouteMap({
  routes: {
    ls: listCommand,
    pull: pullCommand,
    push: pushCommand,
    import: importCommand,
    export: exportCommand,
    rm: removeCommand,
    tag: tagCommand,
    inspect: inspectCommand,
  },
  defaultCommand: "ls",
  docs: { brief: "list images, and what else is to be done with them" },
});
