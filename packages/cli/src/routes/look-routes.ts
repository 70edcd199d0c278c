import { buildCommand } from "@stricli/core";
import { managerFlags } from "../flags/manager-flags.ts";
import { parseHttpAddress } from "../flags/parse-http-address.ts";
import { ids, listFlags, off, oneId } from "./parameters.ts";

const json = { json: { ...off, brief: "one JSON object per line" } } as const;

/** `trimaran inspect`. */
export const inspectCommand = buildCommand({
  loader: async () => (await import("../commands/inspect.ts")).inspect,
  parameters: { flags: managerFlags, positional: ids },
  docs: { brief: "show all there is to know of containers", customUsage: ["web", "[FLAGS] ID…"] },
});

/** `trimaran diff`. */
export const diffCommand = buildCommand({
  loader: async () => (await import("../commands/diff.ts")).diff,
  parameters: { flags: { ...json, ...managerFlags }, positional: oneId },
  docs: {
    brief: "show what a container has changed in its image",
    customUsage: ["web", "[FLAGS] ID"],
    fullDescription: "A: added; C: changed, or copied up to be changed; D: deleted.",
  },
});

/** `trimaran layers`. */
export const layersCommand = buildCommand({
  loader: async () => (await import("../commands/layers.ts")).layers,
  parameters: {
    flags: { ...json, ...managerFlags },
    positional: {
      kind: "array",
      parameter: { brief: "a container, then paths in it", parse: String, placeholder: "ID PATH" },
      minimum: 1,
    },
  },
  docs: {
    brief: "show a container's overlay: layers, what was copied up, what is whited out",
    customUsage: ["web", "web /etc/passwd", "[FLAGS] ID [PATH…]"],
    fullDescription:
      "Layer 0 is the container's own, on top. With paths: which layers hold them, and which one is seen. Without: the layers, and each path of layer 0: added, copied-up (from the layer that it covers), deleted (whited out) or replaced (an opaque directory).",
  },
});

/** `trimaran commit`. */
export const commitCommand = buildCommand({
  loader: async () => (await import("../commands/commit.ts")).commit,
  parameters: {
    flags: {
      message: {
        kind: "parsed",
        parse: String,
        default: "",
        brief: "comment in the image's history",
        placeholder: "TEXT",
      },
      author: { kind: "parsed", parse: String, default: "", brief: "name in the image's history", placeholder: "NAME" },
      ...managerFlags,
    },
    aliases: { m: "message", a: "author" },
    positional: {
      kind: "tuple",
      parameters: [
        { brief: "a container", parse: String, placeholder: "ID" },
        { brief: "the new image's name", parse: String, placeholder: "IMAGE" },
      ],
    },
  },
  docs: { brief: "make an image of a container", customUsage: ["web example.org/web:2", "[FLAGS] ID IMAGE"] },
});

/** `trimaran cp`. */
export const cpCommand = buildCommand({
  loader: async () => (await import("../commands/cp.ts")).cp,
  parameters: {
    flags: managerFlags,
    positional: {
      kind: "tuple",
      parameters: [
        { brief: "CONTAINER:/PATH, or a path of the host", parse: String, placeholder: "SOURCE" },
        {
          brief: "the other; with a / at its end it is a directory to copy into",
          parse: String,
          placeholder: "TARGET",
        },
      ],
    },
  },
  docs: {
    brief: "copy files into a running container or out of it",
    customUsage: ["web:/etc/hosts hosts", "./site web:/srv/", "[FLAGS] SOURCE TARGET"],
    fullDescription: "The container must have a tar.",
  },
});

/** `trimaran events`. */
export const eventsCommand = buildCommand({
  loader: async () => (await import("../commands/events.ts")).events,
  parameters: {
    flags: {
      ...json,
      filter: {
        kind: "parsed",
        parse: String,
        optional: true,
        variadic: true,
        brief: "containerd's filters, any of which is enough",
        placeholder: "F",
      },
      ...managerFlags,
    },
    aliases: { f: "filter" },
  },
  docs: { brief: "show a daemon's events as they come", customUsage: ["--filter 'topic~=^/tasks/'", "[FLAGS]"] },
});

/** `trimaran stats`. */
export const statsCommand = buildCommand({
  loader: async () => (await import("../commands/stats.ts")).stats,
  parameters: {
    flags: { ...listFlags, once: { ...off, brief: "one look, then the end" }, ...managerFlags },
    aliases: { q: "quiet" },
    positional: { kind: "array", parameter: { brief: "containers", parse: String, placeholder: "ID" } },
  },
  docs: { brief: "show what containers use", customUsage: ["", "--once --json", "[FLAGS] [ID…]"] },
});

/** `trimaran top`. */
export const topCommand = buildCommand({
  loader: async () => (await import("../commands/top.ts")).top,
  parameters: { flags: { ...listFlags, ...managerFlags }, aliases: { q: "quiet" }, positional: oneId },
  docs: { brief: "list a container's processes", customUsage: ["web", "[FLAGS] ID"] },
});

/** `trimaran metrics`. */
export const metricsCommand = buildCommand({
  loader: async () => (await import("../commands/metrics.ts")).metrics,
  parameters: {
    flags: {
      listen: {
        kind: "parsed",
        parse: parseHttpAddress,
        optional: true,
        brief: "serve them until a signal comes: 127.0.0.1:PORT, or a socket's path",
        placeholder: "ADDRESS",
      },
      state: {
        ...managerFlags.state,
        brief: "state directory of a daemon to ask, too (default /run/trimaran/manager)",
      },
    },
  },
  docs: {
    brief: "show this node's metrics in Prometheus' format",
    customUsage: ["", "--listen 127.0.0.1:9464", "--listen /run/trimaran.metrics.sock"],
    fullDescription:
      "Of all task servers and daemons of this node: starts, failures by reason, latencies, tasks, monitors, restarts of task servers.",
  },
});

/** `trimaran ui`. */
export const uiCommand = buildCommand({
  loader: async () => (await import("../commands/ui.ts")).ui,
  parameters: {
    flags: {
      listen: {
        kind: "parsed",
        parse: parseHttpAddress,
        default: "127.0.0.1:0",
        brief: "a port of this machine, 0 for a free one",
        placeholder: "127.0.0.1:PORT",
      },
      ...managerFlags,
    },
  },
  docs: {
    brief: "serve a page that shows containers, layers, namespaces and starts",
    customUsage: ["", "--listen 127.0.0.1:7070", "[FLAGS]"],
    fullDescription:
      "Prints the page's address, whose token lets you in: every user of this machine can reach the port. The page only looks, and asks nobody but this command. Runs until SIGTERM or SIGINT.",
  },
});
