import ownPackage from "../../package.json" with { type: "json" };
import { buildCli } from "../app.ts";
import { managerFlags } from "../flags/manager-flags.ts";
import { type CommandShape, commandShapes, type FlagShape } from "./command-shape.ts";
import { displayed, escapeArgument, escapeText, prose, section, tagList } from "./mdoc.ts";

const TRIMARAN = "trimaran";
const MONTHS = ["January", "February", "March", "April", "May", "June", "July"].concat([
  "August",
  "September",
  "October",
  "November",
  "December",
]);

const EXIT_STATUS = [
  { head: "0", text: "what was asked for is done; the container's own status with run and exec" },
  { head: "125", text: "we have failed; stderr says why, and what to type next" },
  { head: "126", text: "the program in the container cannot be executed" },
  { head: "127", text: "there is no such program in the container" },
  { head: "128+n", text: "the container was ended by signal n" },
];

const ENVIRONMENT = [
  { head: "Ev TRIMARAN_ADDRESS", text: "the socket of a daemon, as --address" },
  { head: "Ev TRIMARAN_ROOT", text: "as --root" },
  { head: "Ev TRIMARAN_MANAGER_STATE", text: "as --state" },
  { head: "Ev TRIMARAN_STATE", text: "where task servers of shims have their directories (default /run/trimaran)" },
  { head: "Ev TRIMARAN_PASSWORD", text: "a registry's password for --user" },
];

const FILES = [
  { head: "Pa /var/lib/trimaran", text: "images, snapshots, records, output of containers" },
  { head: "Pa /run/trimaran/manager", text: "bundles and sockets; trimaran.sock is the daemon's" },
  { head: "Pa /run/trimaran", text: "a directory for each task server, with its server.log and metrics.sock" },
  { head: "Pa /etc/containerd/certs.d", text: "how to reach registries: HOST/hosts.toml, as containerd reads them" },
];

/** All manual pages, by file name: `trimaran.1`, and one for each command. `date`: of the pages. */
export function manualPages(date: Date): Map<string, string> {
  const shapes = commandShapes(buildCli());
  const groups = Map.groupBy(shapes, ({ name }) => name.split(" ")[0] ?? "");
  const pages = [...groups].map(([name, commands]): [string, string] => [
    `${TRIMARAN}-${name}.1`,
    page(`${TRIMARAN}-${name}`, date, commandLines(name, commands)),
  ]);
  return new Map([[`${TRIMARAN}.1`, page(TRIMARAN, date, mainLines(groups))], ...pages]);
}

function page(name: string, date: Date, lines: readonly string[]): string {
  const day = `${MONTHS[date.getUTCMonth()]} ${date.getUTCDate()}, ${date.getUTCFullYear()}`;
  return `${[`.Dd ${day}`, `.Dt ${name.toUpperCase()} 1`, `.Os Trimaran ${ownPackage.version}`, ...lines].join("\n")}\n`;
}

function mainLines(groups: ReadonlyMap<string, readonly CommandShape[]>): string[] {
  const own = (name: string) => ({ head: `Xr ${TRIMARAN}-${name} 1`, text: groups.get(name)?.[0]?.brief ?? "" });
  const global = Object.entries(managerFlags).map(
    ([name, flag]): FlagShape => ({
      name,
      letter: undefined,
      placeholder: "placeholder" in flag ? flag.placeholder : undefined,
      brief: flag.brief,
      defaultText: undefined,
      isRepeatable: false,
    }),
  );
  const description = [
    "Runs containers with any containerd shim, and has shims of its own: io.containerd.trimaran-runc.v2 (namespaces and cgroups), " +
      "io.containerd.trimaran-gvisor.v2 (gVisor) and io.containerd.trimaran-kata.v2 (virtual machines).",
    "Where a daemon listens, commands talk to it; else the manager is within the command, with the same directories.",
    "Words behind an image or a container belong to the container's command.",
  ];
  return [
    ...section("NAME", [`.Nm ${TRIMARAN}`, ".Nd run containers with any containerd shim, with a daemon or without"]),
    ...section("SYNOPSIS", [`.Nm ${TRIMARAN}`, ".Ar COMMAND", ".Op Ar FLAGS", ".Op Ar WORDS"]),
    ...section("DESCRIPTION", description.map(prose)),
    ...section("COMMANDS", tagList([...groups.keys()].map(own))),
    ...section("FLAGS", ["Of every command that talks to the manager:", ...flagList(global)]),
    ...section("ENVIRONMENT", tagList(ENVIRONMENT)),
    ...section("FILES", tagList(FILES)),
    ...section("EXIT STATUS", tagList(EXIT_STATUS)),
    ...section("EXAMPLES", displayed(["trimaran pull busybox", "trimaran run --rm -t -i busybox sh"])),
    ...section("SEE ALSO", [".Xr cgroups 7 ,", ".Xr namespaces 7 ,", ".Xr containerd 8 ,", ".Xr ctr 8"]),
  ];
}

/** One page for a command, or for a group of them. */
function commandLines(name: string, [first, ...others]: readonly CommandShape[]): string[] {
  if (first === undefined) return [];
  const all = [first, ...others];
  const synopsis = all.flatMap((command) => [
    `.Nm ${TRIMARAN} ${escapeText(command.name)}`,
    ...(command.synopsis === "" ? [] : [escapeText(command.synopsis)]),
  ]);
  const examples = all.flatMap((command) => command.examples.map((words) => `${TRIMARAN} ${command.name} ${words}`));
  const flags =
    others.length === 0
      ? flagList(first.flags)
      : all.flatMap((command) => [`.Ss ${escapeText(command.name)}`, ...flagList(command.flags)]);
  return [
    ...section("NAME", [`.Nm ${TRIMARAN}-${name}`, `.Nd ${escapeText(first.brief)}`]),
    ...section("SYNOPSIS", synopsis),
    ...section("DESCRIPTION", others.length === 0 ? [describe(first)] : tagList(all.map(groupEntry))),
    ...section("FLAGS", flags),
    ...section("EXIT STATUS", tagList(EXIT_STATUS)),
    ...section("EXAMPLES", displayed(examples)),
    ...section("SEE ALSO", [`.Xr ${TRIMARAN} 1`]),
  ];
}

function groupEntry(command: CommandShape): { readonly head: string; readonly text: string } {
  return { head: `Ic ${escapeArgument(command.name)}`, text: `${sentence(command.brief)} ${command.description}` };
}

function describe({ brief, description }: CommandShape): string {
  return prose(description === "" ? sentence(brief) : `${sentence(brief)} ${description}`);
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

function flagList(flags: readonly FlagShape[]): string[] {
  return tagList(
    flags.map(({ name, letter, placeholder, brief, defaultText, isRepeatable }) => {
      const short = letter === undefined ? "" : `Fl ${letter} , `;
      const value = placeholder === undefined ? "" : ` Ar ${escapeArgument(placeholder)}`;
      const more = isRepeatable ? "; may be given more than once" : "";
      const standard = defaultText === undefined ? "" : ` (default ${defaultText})`;
      return { head: `${short}Fl \\-${escapeText(name)}${value}`, text: `${brief}${standard}${more}` };
    }),
  );
}
