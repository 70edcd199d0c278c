import { resolve } from "node:path";
import { type Application, buildApplication, buildCommand, buildRouteMap } from "@stricli/core";
import ownPackage from "../package.json" with { type: "json" };
import type { CliContext } from "./cli-context.ts";
import { proposeContainers, proposeImages } from "./completion/propose.ts";
import { COMPLETION_SCRIPTS, parseShell } from "./completion/scripts.ts";
import { daemonFlags } from "./flags/daemon-flags.ts";
import { managerFlags } from "./flags/manager-flags.ts";
import { parseSignal } from "./flags/parse-signal.ts";
import { parseSeconds } from "./flags/parse-size.ts";
import { runAliases, runFlags } from "./flags/run-flags.ts";
import { traceFlags } from "./flags/trace-flags.ts";
import { checkCommand } from "./routes/check-route.ts";
import { doctorCommand } from "./routes/doctor-route.ts";
import { explainAliases, explainCommand, explainFlags } from "./routes/explain-route.ts";
import { exportCommand, imageRoutes, importCommand, pullCommand, pushCommand } from "./routes/image-routes.ts";
import {
  commitCommand,
  cpCommand,
  diffCommand,
  eventsCommand,
  inspectCommand,
  layersCommand,
  metricsCommand,
  statsCommand,
  topCommand,
  uiCommand,
} from "./routes/look-routes.ts";
import { ids, off, oneId } from "./routes/parameters.ts";
import { shimRoutes, upgradeCommand } from "./routes/shim-routes.ts";

const { tty, interactive, detach, env, user, cwd } = runFlags;
const execFlags = {
  tty,
  interactive,
  detach: { ...detach, brief: "do not wait for it" },
  env,
  user,
  cwd,
  ...traceFlags,
  ...managerFlags,
} as const;
const execAliases = { t: "tty", i: "interactive", d: "detach", e: "env", u: "user" } as const;

/** The verbs whose last words belong to somebody else's command line, with the flags they have themselves. */
export const verbsWithCommands = {
  run: { flags: runFlags, aliases: runAliases },
  exec: { flags: execFlags, aliases: execAliases },
  explain: { flags: explainFlags, aliases: explainAliases },
  kata: { flags: {}, aliases: {} },
} as const;

const SHELLS = Object.keys(COMPLETION_SCRIPTS);

/** The words that may follow `images`. */
export const imageVerbs: ReadonlySet<string> = new Set(imageRoutes.getAllEntries().map(({ name }) => name.original));

const runCommand = buildCommand({
  loader: async () => (await import("./commands/run.ts")).run,
  parameters: {
    flags: runFlags,
    aliases: runAliases,
    positional: {
      kind: "array",
      parameter: {
        brief: "an image, an image archive or a rootfs directory, then the command",
        parse: String,
        placeholder: "IMAGE CMD",
        proposeCompletions: proposeImages,
      },
      minimum: 1,
    },
  },
  docs: {
    brief: "run a container",
    customUsage: [
      "--rm -t -i busybox sh",
      "-d --name web -p 8080:80 --memory 64m ./image.tar",
      "--rm ./rootfs /bin/server",
      "[FLAGS] IMAGE-OR-TAR-OR-ROOTFS [CMD…]",
    ],
    fullDescription:
      "Exit code: the container's own; 125 we failed; 126 not executable; 127 not found; 128+n killed by signal n.",
  },
});

const execCommand = buildCommand({
  loader: async () => (await import("./commands/exec.ts")).exec,
  parameters: {
    flags: execFlags,
    aliases: execAliases,
    positional: {
      kind: "array",
      parameter: {
        brief: "a container, then the command",
        parse: String,
        placeholder: "ID CMD",
        proposeCompletions: proposeContainers,
      },
      minimum: 2,
    },
  },
  docs: { brief: "run a command in a container", customUsage: ["-t -i web sh", "[FLAGS] ID CMD…"] },
});

const psCommand = buildCommand({
  loader: async () => (await import("./commands/ps.ts")).ps,
  parameters: {
    flags: {
      all: { ...off, brief: "those that are not running, too" },
      quiet: { ...off, brief: "ids only" },
      json: { ...off, brief: "one JSON object per line" },
      ...managerFlags,
    },
    aliases: { a: "all", q: "quiet" },
  },
  docs: { brief: "list containers", customUsage: ["-a", "[FLAGS]"] },
});

const killCommand = buildCommand({
  loader: async () => (await import("./commands/kill.ts")).kill,
  parameters: {
    flags: {
      signal: { kind: "parsed", parse: parseSignal, default: "TERM", brief: "name or number", placeholder: "SIGNAL" },
      all: { ...off, brief: "every process of the container" },
      ...managerFlags,
    },
    aliases: { s: "signal", a: "all" },
    positional: ids,
  },
  docs: { brief: "send a signal", customUsage: ["-s KILL web", "[FLAGS] ID…"] },
});

const stopCommand = buildCommand({
  loader: async () => (await import("./commands/stop.ts")).stop,
  parameters: {
    flags: {
      time: { kind: "parsed", parse: parseSeconds, default: "10", brief: "seconds until SIGKILL", placeholder: "N" },
      signal: {
        kind: "parsed",
        parse: parseSignal,
        optional: true,
        brief: "instead of the image's, or TERM",
        placeholder: "SIGNAL",
      },
      ...managerFlags,
    },
    aliases: { t: "time", s: "signal" },
    positional: ids,
  },
  docs: { brief: "end containers", customUsage: ["-t 30 web", "[FLAGS] ID…"] },
});

const pauseCommand = buildCommand({
  loader: async () => (await import("./commands/pause.ts")).pause,
  parameters: { flags: managerFlags, positional: ids },
  docs: { brief: "freeze all processes of containers", customUsage: ["web", "[FLAGS] ID…"] },
});

const resumeCommand = buildCommand({
  loader: async () => (await import("./commands/resume.ts")).resume,
  parameters: { flags: managerFlags, positional: ids },
  docs: { brief: "let paused containers go on", customUsage: ["web", "[FLAGS] ID…"] },
});

const rmCommand = buildCommand({
  loader: async () => (await import("./commands/rm.ts")).rm,
  parameters: {
    flags: { force: { ...off, brief: "kill it first if it runs" }, ...managerFlags },
    aliases: { f: "force" },
    positional: ids,
  },
  docs: { brief: "remove containers", customUsage: ["-f web", "[FLAGS] ID…"] },
});

const logsCommand = buildCommand({
  loader: async () => (await import("./commands/logs.ts")).logs,
  parameters: {
    flags: { follow: { ...off, brief: "go on until the container's exit" }, ...managerFlags },
    aliases: { f: "follow" },
    positional: oneId,
  },
  docs: { brief: "show the output of a detached container", customUsage: ["-f web", "[FLAGS] ID"] },
});

const daemonCommand = buildCommand({
  loader: async () => (await import("./commands/daemon.ts")).daemon,
  parameters: { flags: daemonFlags },
  docs: {
    brief: "serve containerd's API",
    customUsage: ["--root DIR --state DIR --address SOCKET", "[FLAGS]"],
    fullDescription: "Runs until SIGTERM or SIGINT; containers live on and are found again by the next daemon.",
  },
});

const kataCommand = buildCommand({
  loader: async () => (await import("./commands/kata.ts")).kata,
  parameters: {
    flags: {},
    positional: {
      kind: "array",
      parameter: { brief: "what to do; none lists it", parse: String, placeholder: "COMMAND" },
    },
  },
  docs: {
    brief: "look after virtual machines' images and settings",
    customUsage: ["image build", "image show --json", "config"],
  },
});

const completionCommand = buildCommand({
  loader: async () => (await import("./commands/completion.ts")).completion,
  parameters: {
    flags: {},
    positional: {
      kind: "tuple",
      parameters: [
        {
          brief: "bash, zsh or fish",
          parse: parseShell,
          placeholder: "SHELL",
          proposeCompletions: (partial: string) => SHELLS.filter((shell) => shell.startsWith(partial)),
        },
      ],
    },
  },
  docs: {
    brief: "print a shell's completion script",
    customUsage: ["bash > /etc/bash_completion.d/trimaran", "SHELL"],
  },
});

const versionCommand = buildCommand({
  loader: async () => (await import("./commands/version.ts")).version,
  parameters: { flags: { json: { ...off, brief: "one JSON object" } } },
  docs: { brief: "show the version", customUsage: ["", "--json"] },
});

const prefix = {
  kind: "parsed",
  parse: (text: string) => resolve(text),
  default: "/usr/local",
  brief: "where to",
  placeholder: "DIR",
} as const;
const dryRun = { ...off, brief: "only list the files" } as const;

const installCommand = buildCommand({
  loader: async () => (await import("./commands/install.ts")).install,
  parameters: {
    flags: {
      prefix,
      containerdConfig: {
        kind: "parsed",
        parse: (text: string) => resolve(text),
        brief: "add the runtimes to this file, a copy is kept",
        placeholder: "FILE",
        optional: true,
      },
      dryRun,
    },
  },
  docs: {
    brief: "install shims and command",
    customUsage: ["--containerd-config /etc/containerd/config.toml", "[FLAGS]"],
  },
});

const uninstallCommand = buildCommand({
  loader: async () => (await import("./commands/uninstall.ts")).uninstall,
  parameters: { flags: { prefix, dryRun } },
  docs: { brief: "remove what install has written", customUsage: ["", "--prefix /opt/trimaran"] },
});

/** Shims ask `--version` of the binary that they are to publish with, to know what its daemon understands. */
const CONTAINERD_API = "2.1";

/** The command line's grammar. */
export function buildCli(): Application<CliContext> {
  const routes = {
    run: runCommand,
    exec: execCommand,
    ps: psCommand,
    stop: stopCommand,
    kill: killCommand,
    pause: pauseCommand,
    resume: resumeCommand,
    rm: rmCommand,
    logs: logsCommand,
    inspect: inspectCommand,
    explain: explainCommand,
    top: topCommand,
    stats: statsCommand,
    events: eventsCommand,
    images: imageRoutes,
    pull: pullCommand,
    push: pushCommand,
    import: importCommand,
    export: exportCommand,
    layers: layersCommand,
    diff: diffCommand,
    commit: commitCommand,
    cp: cpCommand,
    daemon: daemonCommand,
    metrics: metricsCommand,
    ui: uiCommand,
    kata: kataCommand,
    check: checkCommand,
    doctor: doctorCommand,
    completion: completionCommand,
    install: installCommand,
    uninstall: uninstallCommand,
    upgrade: upgradeCommand,
    shims: shimRoutes,
    version: versionCommand,
  };
  const root = buildRouteMap({
    routes,
    docs: { brief: "Run containers with any containerd shim, with a daemon or without." },
  });
  return buildApplication(root, {
    name: "trimaran",
    scanner: { caseStyle: "allow-kebab-for-camel", allowArgumentEscapeSequence: true },
    documentation: { disableAnsiColor: true },
    versionInfo: { currentVersion: `trimaran ${ownPackage.version} (API of containerd ${CONTAINERD_API})` },
  });
}
