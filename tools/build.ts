/**
 * Build what containerd and users start, into build/: the layout that `trimaran install` copies.
 *
 *     build/bin/containerd-shim-trimaran-NAME-v2          the monitor (C, static), under each shim's name
 *     build/bin/trimaran                                  the command
 *     build/bin/trimaran-oci                              the OCI runtime's command line, for podman and the like
 *     build/lib/trimaran/*.{cjs,js}                       one bundle per program
 *     build/lib/trimaran/containerd-shim-….cmd            the task server's argv, one argument a line
 *     build/lib/trimaran/node_modules/                    koffi's native module
 *     build/lib/trimaran/trimaran-fsbridge                moves a VM's file system (C, static): the host's and the guest's half
 *     build/share/man/man1/*.1                            the manual, a page for each command
 *     build/lib/trimaran/ui/                              the page of `trimaran ui`
 *     build/lib/trimaran/guest/                           what virtual machines have inside: init, agent, monitor, koffi
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  globSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, extname, join } from "node:path";
import { build as bundle } from "esbuild";
import { launcherText, ociLauncherText } from "../packages/cli/src/installation/launcher.ts";

const ROOT = join(import.meta.dirname, "..");
const OUT = join(ROOT, "build");
const LIBRARY = join(OUT, "lib/trimaran");
const NODE = join(ROOT, `node_modules/node-linux-${process.arch}/bin/node`);

/** Nothing of ours makes code from text, or looks for `__proto__`: what a hostile document might reach by these is not there. */
const HARDENING = ["--disable-proto=delete", "--disallow-code-generation-from-strings"];

/**
 * A task server runs each function seldom, but for weeks: its bytecode must not be thrown away and compiled again at each call. It keeps
 * little of what it allocates: a small young generation costs no time that we could measure, and saves 5 MB at 20 pods.
 */
const NODE_FLAGS = ["--no-flush-bytecode", "--max-semi-space-size=1", ...HARDENING];

/** For what a module requires that is in CommonJS itself. */
const REQUIRE =
  'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);';

/** How the names of chunks begin. */
const CHUNK = "chunk-";

/** Programs that containerd starts: shim name and the entry of its task server. */
const SHIMS = {
  "containerd-shim-trimaran-runc-v2": "packages/shim-runc/src/main.ts",
  "containerd-shim-trimaran-gvisor-v2": "packages/shim-gvisor/src/main.ts",
  "containerd-shim-trimaran-kata-v2": "packages/shim-kata/src/main.ts",
};

/** Build everything that is out of date. Takes a few milliseconds when nothing is. */
export async function build(): Promise<void> {
  const stamp = join(OUT, ".stamp");
  const inputs = fingerprint();
  if (read(stamp) === inputs) return;
  mkdirSync(join(OUT, "bin"), { recursive: true });
  mkdirSync(LIBRARY, { recursive: true });
  make("monitor", "monitor");
  make("fsbridge", "trimaran-fsbridge");
  for (const [name, entry] of Object.entries(SHIMS)) {
    install(join(OUT, "monitor/monitor"), join(OUT, "bin", name));
    await bundleProgram(entry, `${name}.cjs`);
    writeWhole(join(LIBRARY, `${name}.cmd`), `${[NODE, ...NODE_FLAGS, join(LIBRARY, `${name}.cjs`)].join("\n")}\n`);
  }
  await bundleProgram("packages/shim-runc/src/oci/main.ts", "oci.cjs");
  writeWhole(join(OUT, "bin/trimaran-oci"), ociLauncherText(NODE, join(LIBRARY, "oci.cjs")), 0o755);
  removeChunks();
  await bundleProgram("packages/cli/src/main.ts", "trimaran.js", true);
  await bundlePage();
  await bundleProgram("packages/manager/src/layers/thread/layer-worker.ts", "layer-worker.js"); // trimaran.js starts it
  const launcher = launcherText(NODE, join(LIBRARY, "trimaran.js"), join(OUT, "bin/trimaran-oci"));
  writeWhole(join(OUT, "bin/trimaran"), launcher, 0o755);
  for (const [name, runtime] of [
    ["trimaran-runc.js", "shim-runc"],
    ["trimaran-gvisor.js", "shim-gvisor"],
    ["trimaran-kata.js", "shim-kata"],
  ] as const)
    await bundleProgram(`packages/${runtime}/src/command/main.ts`, name); // the command starts them
  await bundleProgram("packages/shim-core/src/operate/main.ts", "trimaran-shims.js");
  copyNativeModules(LIBRARY);
  await writeManual();
  await buildGuest();
  writeWhole(stamp, inputs);
}

/** A program of a package in C, into a folder of the package's name. */
function make(name: string, program: string): void {
  const into = join(OUT, name);
  execFileSync("make", ["-s", "-C", join(ROOT, "packages", name, "c"), `OUT=${into}`, join(into, program)], {
    stdio: ["ignore", "inherit", "inherit"],
  });
}

/** The guest's own programs; the image is made of them when it is needed. Whatever was there before is gone. */
async function buildGuest(): Promise<void> {
  const guest = join(LIBRARY, "guest");
  rmSync(guest, { recursive: true, force: true });
  mkdirSync(guest);
  execFileSync("make", ["-s", "-C", join(ROOT, "packages/shim-kata/c"), `OUT=${guest}`], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  install(join(OUT, "monitor/monitor"), join(guest, "monitor"));
  for (const folder of [guest, LIBRARY])
    install(join(OUT, "fsbridge/trimaran-fsbridge"), join(folder, "trimaran-fsbridge"));
  await bundleProgram("packages/kata-agent/src/main.ts", "agent.cjs", false, guest);
  copyNativeModules(guest);
}

/**
 * With `splitting` what a program imports lazily goes into chunks of its own: `trimaran ps` does not read the daemon. A name that ends with .cjs makes a CommonJS program, which starts 10 ms sooner: who imports a
 * module of Node's has Node look at each of its exports, and some of them load further ones (webcrypto, streams) that nobody needs.
 */
async function bundleProgram(entry: string, name: string, splitting = false, outdir = LIBRARY): Promise<void> {
  const extension = extname(name);
  const isCommon = extension === ".cjs";
  await bundle({
    entryPoints: { [basename(name, extension)]: join(ROOT, entry) },
    outdir,
    outExtension: { ".js": extension },
    chunkNames: `${CHUNK}[hash]`,
    bundle: true,
    splitting,
    minify: true,
    keepNames: true,
    sourcemap: false,
    platform: "node",
    target: "node26",
    format: isCommon ? "cjs" : "esm",
    external: ["koffi"],
    ...(isCommon
      ? { define: { "import.meta.dirname": "__dirname", "import.meta.url": "__filename" } }
      : { banner: { js: REQUIRE } }),
    logLevel: "warning",
  });
  writeWhole(join(outdir, "package.json"), '{ "type": "module" }\n');
}

/** What `trimaran ui` serves. */
async function bundlePage(): Promise<void> {
  const source = join(ROOT, "packages/cli/web");
  const page = join(LIBRARY, "ui");
  await bundle({
    entryPoints: { ui: join(source, "main.ts") },
    outdir: page,
    bundle: true,
    minify: true,
    platform: "browser",
    target: "es2024",
    format: "esm",
    logLevel: "warning",
  });
  for (const name of ["index.html", "ui.css"]) cpSync(join(source, name), join(page, name));
}

/** Manual pages, of the definitions that `--help` is made of. */
async function writeManual(): Promise<void> {
  const { manualPages } = await import("../packages/cli/src/manual/pages.ts"); // loads the command, which nobody else here needs
  const folder = join(OUT, "share/man/man1");
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const seconds = Number(process.env.SOURCE_DATE_EPOCH ?? Date.now() / 1000);
  for (const [name, text] of manualPages(new Date(seconds * 1000))) writeWhole(join(folder, name), text);
}

function removeChunks(): void {
  for (const name of globSync(`${CHUNK}*.js`, { cwd: LIBRARY })) rmSync(join(LIBRARY, name));
}

/** koffi is a native module: it can't be bundled, so it lies beside the bundles. Only what this machine's Node loads is copied. */
function copyNativeModules(library: string): void {
  const modules = join(library, "node_modules");
  rmSync(modules, { recursive: true, force: true });
  const wanted = [`node_modules/koffi`, `node_modules/@koromix/koffi-linux-${process.arch}`];
  for (const path of wanted) {
    if (read(join(ROOT, path, "package.json")) === undefined) continue;
    cpSync(join(ROOT, path), join(library, path), {
      recursive: true,
      filter: (source) =>
        !source.includes("/musl_") &&
        (!source.includes(".") || /\.(c?js|json|node)$/.test(source) || statSync(source).isDirectory()),
    });
  }
}

/** Names, sizes and times of everything that goes in. */
function fingerprint(): string {
  const patterns = ["packages/*/{src,c,web}/**", "proto/**", "package-lock.json", "tools/build.ts"];
  const hash = createHash("sha256");
  for (const path of globSync(patterns, { cwd: ROOT }).sort()) {
    const stat = statSync(join(ROOT, path));
    if (stat.isFile()) hash.update(`${path} ${stat.size} ${stat.mtimeMs}\n`);
  }
  return hash.digest("hex");
}

/** Replace a program that may be running. */
function install(from: string, to: string): void {
  cpSync(from, `${to}.new`);
  chmodSync(`${to}.new`, 0o755);
  renameSync(`${to}.new`, to);
}

function writeWhole(path: string, text: string, mode = 0o644): void {
  writeFileSync(`${path}.new`, text, { mode });
  renameSync(`${path}.new`, path);
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

if (import.meta.main) await build();
