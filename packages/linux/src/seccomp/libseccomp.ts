import { closeSync, fstatSync, readSync } from "node:fs";
import { errnoName } from "../syscall/errno.ts";
import type { Native } from "../syscall/native.ts";
import { openMemfd } from "../syscall/pidfd.ts";
import { compileEnosysStub, type NewestCall } from "./enosys.ts";
import { SECCOMP_RETURN, SeccompError } from "./profile.ts";
import type { Comparison, FilterRules } from "./rules.ts";

const ATTRIBUTE_OPTIMIZE = 8; // SCMP_FLTATR_CTL_OPTIMIZE; 2 is a binary tree over numbers (2.5)
const EEXIST = -17;
const UNKNOWN_CALL = -1; // __NR_SCMP_ERROR; below that are calls of other architectures
const X32 = 0x4000_003e;
const X86_64 = 0xc000_003e;
const ENOSYS = 38;

/**
 * Compile checked rules by libseccomp (8 to 12 ms for a large profile) to a classic BPF program, the ENOSYS stub in front.
 * Known defect of 2.5.4, shared with runc and crun: two rules for one call that order (LT, LE, GE, GT) the same argument can
 * let values through that neither allows; see seccomp.test.ts. System calls that libseccomp does not know are left out. Throws SeccompError for an unknown architecture or a refused rule, and
 * what the loader throws if there is no libseccomp.so.2.
 */
export function compileWithLibseccomp(native: Native, rules: FilterRules): Uint8Array {
  const library = openLibseccomp(native);
  const context = library.init(rules.defaultAction);
  if (context === 0n) throw new SeccompError("linux.seccomp.defaultAction", "libseccomp refuses it");
  try {
    const architectures = addArchitectures(library, context, rules.architectures);
    library.setAttribute(context, ATTRIBUTE_OPTIMIZE, 2); // an older library has none: slower, not wrong
    for (const rule of rules.rules) {
      const nr = library.resolve(rule.name);
      if (nr === UNKNOWN_CALL) continue;
      const result = library.addRule(
        context,
        rule.action,
        nr,
        rule.comparisons.length,
        encodeComparisons(rule.comparisons),
      );
      if (result < 0)
        throw new SeccompError(
          `${rule.field} ${JSON.stringify(rule.name)}`,
          `libseccomp refuses it (${errnoName(-result)})`,
        );
    }
    return Buffer.concat([
      compileEnosysStub(newestCalls(library, rules, architectures)),
      exportProgram(native, library, context),
    ]);
  } finally {
    library.release(context);
  }
}

/** The functions of libseccomp that we call. Errors are -errno. */
function openLibseccomp(native: Native) {
  const library = native.library("libseccomp.so.2");
  return {
    init: library.pointer("void *seccomp_init(uint32_t action)"),
    release: library.integer("void seccomp_release(void *context)"),
    nativeArch: library.integer("uint32_t seccomp_arch_native()"),
    resolveArch: library.integer("uint32_t seccomp_arch_resolve_name(const char *name)"),
    addArch: library.integer("int seccomp_arch_add(void *context, uint32_t token)"),
    setAttribute: library.integer("int seccomp_attr_set(void *context, int attribute, uint32_t value)"),
    resolve: library.integer("int seccomp_syscall_resolve_name(const char *name)"),
    resolveOn: library.integer("int seccomp_syscall_resolve_name_arch(uint32_t token, const char *name)"),
    addRule: library.integer(
      "int seccomp_rule_add_array(void *context, uint32_t action, int nr, unsigned int count, void *comparisons)",
    ),
    exportBpf: library.integer("int seccomp_export_bpf(void *context, int fd)"),
  };
}

type Libseccomp = ReturnType<typeof openLibseccomp>;

/** Add to the native architecture (always there) the listed ones. Returns all tokens. */
function addArchitectures(library: Libseccomp, context: bigint, names: readonly string[]): number[] {
  const tokens = new Set([library.nativeArch()]);
  names.forEach((name, index) => {
    const field = `linux.seccomp.architectures[${index}]`;
    const token = name.startsWith("SCMP_ARCH_") ? library.resolveArch(name.slice(10).toLowerCase()) : 0;
    if (token === 0) throw new SeccompError(field, `unknown architecture ${JSON.stringify(name)}`);
    const result = library.addArch(context, token);
    if (result < 0 && result !== EEXIST) throw new SeccompError(field, `libseccomp refuses it (${errnoName(-result)})`);
    tokens.add(token);
  });
  return [...tokens];
}

/** Per architecture the highest number that the profile names; none if the default lets unknown calls pass or says ENOSYS already. */
function newestCalls(library: Libseccomp, rules: FilterRules, tokens: readonly number[]): NewestCall[] {
  const { allow, log, trace, errno } = SECCOMP_RETURN;
  const action = rules.defaultAction;
  if (action === allow || action === log || (action & 0xffff_0000) >>> 0 === trace || action === errno + ENOSYS)
    return [];
  return tokens.flatMap((token) => {
    const nr = rules.names.reduce((highest, name) => Math.max(highest, library.resolveOn(token, name)), -1);
    return nr < 0 ? [] : [{ auditArch: token === X32 ? X86_64 : token, isX32: token === X32, nr }];
  });
}

/** struct scmp_arg_cmp: u32 argument, u32 operator, u64, u64. */
function encodeComparisons(comparisons: readonly Comparison[]): Uint8Array | null {
  if (comparisons.length === 0) return null;
  const bytes = Buffer.alloc(comparisons.length * 24);
  comparisons.forEach(({ index, operator, first, second }, at) => {
    bytes.writeUInt32LE(index, at * 24);
    bytes.writeUInt32LE(operator, at * 24 + 4);
    bytes.writeBigUInt64LE(first, at * 24 + 8);
    bytes.writeBigUInt64LE(second, at * 24 + 16);
  });
  return bytes;
}

function exportProgram(native: Native, library: Libseccomp, context: bigint): Uint8Array {
  const fd = openMemfd(native, "trimaran-seccomp");
  try {
    const result = library.exportBpf(context, fd);
    if (result < 0)
      throw new SeccompError("linux.seccomp", `libseccomp cannot write the filter (${errnoName(-result)})`);
    const program = Buffer.alloc(fstatSync(fd).size);
    readSync(fd, program, 0, program.length, 0);
    return program;
  } finally {
    closeSync(fd);
  }
}
