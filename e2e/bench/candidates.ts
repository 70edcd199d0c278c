import { existsSync } from "node:fs";
import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensurePackages } from "../../tools/debian.ts";
import { compile } from "../harness/compile.ts";
import { type ShimKind, shimKinds, trimaranShim } from "../harness/shims.ts";
import { quickInvoke } from "./quick-invoke.ts";

/** Shims to be compared, ours first. Disposing takes away what they were set up with. */
export class Candidates implements AsyncDisposable {
  readonly kinds: readonly ShimKind[];
  readonly #crunFolder: string;

  private constructor(kinds: readonly ShimKind[], crunFolder: string) {
    this.kinds = kinds;
    this.#crunFolder = crunFolder;
  }

  /** Ours, both upstream shims with the runc of their suite, and Debian 12's with crun. */
  static async open(): Promise<Candidates> {
    await ensurePackages(["crun"]);
    const isBuilt = existsSync(trimaranShim());
    if (!isBuilt) console.error(`${trimaranShim()}: not built; the control runs alone`);
    process.env.E2E_RUNTIMES = isBuilt ? "all" : "control";
    const all = await shimKinds();
    const rivals = all.filter(({ isControl }) => isControl);
    const folder = await mkdtemp(join(tmpdir(), "trimaran-crun-"));
    await symlink("/usr/bin/crun", join(folder, "runc")); // the shim looks for this name in PATH
    const binary = await compile(join(import.meta.dirname, "without-unified.c"));
    const withCrun = rivals
      .filter(({ style }) => style === "1.6")
      .map(
        (kind): ShimKind => ({
          ...kind,
          name: "upstream 1.6, crun",
          binary,
          path: `${folder}:${kind.path}`,
          env: { TRIMARAN_BENCH_EXEC: kind.binary },
        }),
      );
    const kinds = [...all.filter(({ name }) => name === "trimaran as 1.6"), ...rivals, ...withCrun];
    return new Candidates(
      kinds.map((kind) => ({ ...kind, invoke: quickInvoke })),
      folder,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#crunFolder, { recursive: true, force: true });
  }
}
