import { readFileSync } from "node:fs";
import { join } from "node:path";

/** A kernel for guests, unpacked in a folder. */
export class GuestKernel {
  /** As `uname -r` says it. */
  readonly release: string;
  /** The compressed image. */
  readonly vmlinuz: string;
  /** The folder that is /lib/modules/RELEASE in a guest. */
  readonly modules: string;
  readonly #needs: ReadonlyMap<string, readonly string[]>;

  constructor(prefix: string) {
    this.release = readFileSync(join(prefix, "RELEASE"), "utf8").trim();
    this.vmlinuz = join(prefix, "vmlinuz");
    this.modules = join(prefix, "lib/modules", this.release);
    this.#needs = parseDependencies(readFileSync(join(this.modules, "modules.dep"), "utf8"));
  }

  /**
   * Files of modules and of all that they need, in the order in which insmod takes them. Paths are absolute. A name is as `lsmod` shows it, with
   * `_` or `-`. Throws for a name that this kernel does not have as a module.
   */
  moduleFiles(...names: readonly string[]): string[] {
    const ordered = new Set<string>();
    for (const name of names) this.#add(ordered, this.#find(name));
    return [...ordered].map((path) => join(this.modules, path));
  }

  #find(name: string): string {
    const found = this.#needs.keys().find((path) => moduleName(path) === name.replaceAll("-", "_"));
    if (found === undefined) throw new Error(`kernel ${this.release}: no module ${name}`);
    return found;
  }

  #add(ordered: Set<string>, path: string): void {
    if (ordered.has(path)) return;
    for (const need of this.#needs.get(path) ?? []) this.#add(ordered, need);
    ordered.add(path);
  }
}

/** Lines `kernel/fs/a.ko: kernel/fs/b.ko kernel/lib/c.ko`. depmod(8) lists needs of needs, too, in no promised order. */
function parseDependencies(text: string): Map<string, string[]> {
  const lines = text.split("\n").filter((line) => line.includes(":"));
  return new Map(
    lines.map((line) => {
      const [path = "", needs = ""] = line.split(":");
      return [path, needs.split(" ").filter((need) => need !== "")];
    }),
  );
}

function moduleName(path: string): string {
  const file = path.slice(path.lastIndexOf("/") + 1);
  return file.slice(0, file.indexOf(".ko")).replaceAll("-", "_");
}
