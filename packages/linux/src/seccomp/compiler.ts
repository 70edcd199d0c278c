import { createHash } from "node:crypto";
import { realpathSync } from "node:fs";
import type { Native } from "../syscall/native.ts";
import { ProgramCache } from "./cache.ts";
import { isFilterProgram } from "./filter.ts";
import { compileWithLibseccomp } from "./libseccomp.ts";
import { SECCOMP_FLAG, SeccompError, type SeccompProfile } from "./profile.ts";
import { parseRules, toFilterFlags } from "./rules.ts";

const FORMAT = 1; // part of the cache key: raise it when compiled programs change
const SET_MODE_FILTER = 1;
const EFAULT = -14;
const MAX_IN_MEMORY = 64;

/** A filter, ready for seccomp(SECCOMP_SET_MODE_FILTER, flags, {program.length / 8, program}). */
export interface CompiledSeccomp {
  /** struct sock_filter[]: 8 bytes each, at most 4096. Shared with the cache: do not change. */
  readonly program: Uint8Array;
  readonly flags: number;
  /** seccomp returns a listener's fd, for `listenerPath`. */
  readonly notify: boolean;
}

/**
 * Compiles `linux.seccomp`, each profile once: programs are kept in memory and, with `cacheDir`, on disk (0600, named by a hash
 * of profile, architecture and libseccomp). A profile seen before costs 0.03 ms, one found on disk 0.6 ms; neither loads libseccomp.
 */
export class SeccompCompiler {
  readonly #native: Native;
  readonly #cache: ProgramCache;
  readonly #library: string;
  readonly #compiled = new Map<string, CompiledSeccomp>();
  #specAllow: boolean | undefined;

  constructor(native: Native, options: { readonly cacheDir?: string } = {}) {
    this.#native = native;
    this.#cache = new ProgramCache(options.cacheDir);
    this.#library = findLibseccomp();
  }

  /** The filter of a profile; undefined if the profile is empty. Throws SeccompError naming the field. */
  compile(profile: SeccompProfile): CompiledSeccomp | undefined {
    const text = fingerprint(profile);
    const known = this.#compiled.get(text);
    const compiled = known ?? this.#compile(profile, text);
    if (compiled === undefined) return undefined;
    this.#compiled.delete(text); // to the end: the first one is the one used longest ago
    this.#compiled.set(text, compiled);
    const [oldest] = this.#compiled.keys();
    if (this.#compiled.size > MAX_IN_MEMORY && oldest !== undefined) this.#compiled.delete(oldest);
    return compiled;
  }

  #compile(profile: SeccompProfile, text: string): CompiledSeccomp | undefined {
    const rules = parseRules(profile);
    if (rules === undefined) return undefined;
    const key = createHash("sha256")
      .update(JSON.stringify([FORMAT, process.arch, this.#library, text]))
      .digest("hex");
    const program = this.#cache.get(key) ?? this.#cache.put(key, compileWithLibseccomp(this.#native, rules));
    if (!isFilterProgram(program)) {
      throw new SeccompError("linux.seccomp", `${program.length / 8} instructions, the kernel takes 1 to 4096`);
    }
    return { program, flags: toFilterFlags(rules, () => this.#takesSpecAllow()), notify: rules.notify };
  }

  /** A null program is EFAULT once the flags are accepted, and changes nothing. */
  #takesSpecAllow(): boolean {
    this.#specAllow ??= this.#native.syscall("seccomp", SET_MODE_FILTER, SECCOMP_FLAG.specAllow, null) === EFAULT;
    return this.#specAllow;
  }
}

/** Equal texts mean equal filters. Without bigints it is plain JSON, which is ten times as fast as JSON with a replacer. */
function fingerprint({ defaultAction, defaultErrnoRet, architectures, flags, syscalls }: SeccompProfile): string {
  const content = [defaultAction, defaultErrnoRet, architectures, flags, syscalls];
  try {
    return JSON.stringify(content);
  } catch {
    return JSON.stringify(content, (_, value: unknown) => (typeof value === "bigint" ? `${value}n` : value));
  }
}

/** The library's real name, which has its version: another version knows other system calls. Empty if it is somewhere else. */
function findLibseccomp(): string {
  const machine = process.arch === "arm64" ? "aarch64" : "x86_64";
  for (const folder of [`/usr/lib/${machine}-linux-gnu`, "/usr/lib64", "/usr/lib", "/lib"]) {
    try {
      return realpathSync(`${folder}/libseccomp.so.2`);
    } catch {
      // the next one
    }
  }
  return "";
}
