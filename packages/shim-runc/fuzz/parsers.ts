import { ANY, containerd, runtimeoptions, WireError } from "@trimaran/proto";
import { StatusError } from "ttrpc-ts";
import { firstError } from "../src/criu/log.ts";
import { maskedFiles } from "../src/criu/mounts.ts";
import { parseFlags, UsageError } from "../src/oci/flags.ts";
import { parseSignal } from "../src/oci/signals.ts";
import { checkId } from "../src/oci/store.ts";
import { parseOptions, type RuncOptions } from "../src/options.ts";

const TABLE = { root: "text", debug: "boolean", env: "list", user: "text" } as const;
const toml = (body: Uint8Array) => runtimeoptions.v1.Options.encode({ configBody: body });
const isUsage = (error: unknown) => error instanceof UsageError;
const refuses = (error: unknown) => error instanceof StatusError || error instanceof WireError;

/** Everything here that reads what a caller brings. */
export const parsers = [
  {
    name: "oci-arguments",
    seeds: ["--root\0/r\0--debug\0run\0id", "-e\0A=b\0--user=1:2\0--\0sh"],
    run: (input: Buffer) => parseFlags(input.toString().split("\0"), TABLE, { e: "env" }),
    expects: isUsage,
  },
  {
    name: "oci-signal",
    seeds: ["KILL", "SIGTERM", "9"],
    run: (input: Buffer) => parseSignal(input.toString()),
    expects: (error: unknown) => error instanceof Error && error.constructor !== TypeError,
  },
  {
    name: "oci-id",
    seeds: ["web", "a+b"],
    run: (input: Buffer) => {
      const id = input.toString();
      checkId(id);
      if (/[/\0\n]/.test(id) || id === "..") throw new TypeError(id);
    },
    expects: (error: unknown) => !(error instanceof TypeError),
  },
  {
    name: "options-runc",
    seeds: [
      containerd.runc.v1.Options.encode({ ioUid: 5, shimCgroup: "/x" }),
      containerd.runc.v1.Options.encode({ noNewKeyring: true, systemdCgroup: true, criuPath: "/bin/criu" }),
    ],
    run: (input: Buffer) => parseOptions([{ typeUrl: ANY.runcOptions, value: input }]),
    expects: refuses,
  },
  {
    name: "options-toml",
    seeds: [
      'NoNewKeyring = true\nShimCgroup = "x"\n',
      'IoUid = 5\nIoGid = 0x10\nSystemdCgroup = false\nCriuPath = "/usr/sbin/criu"\n',
      "# a table as CRI users write it\nBinaryName = 'runc'\nRoot = \"\"\nNoPivotRoot = false\n",
    ],
    // The text is what an operator writes: a change of the envelope's length would only be refused.
    run: (input: Buffer) => checkOptions(parseOptions([{ typeUrl: ANY.runtimeOptions, value: toml(input) }])),
    expects: refuses,
  },
  {
    name: "criu-log",
    seeds: [
      "(00.01)     12: Error (criu/files.c:7): Can't open file\n(00.02) Error (criu/cr-restore.c:9): gone\n",
      "(00.01) Warn  (criu/x.c:1): Error\n(0.1) 7: Error (x: rlimit: Can't setup RLIMIT_NOFILE\n",
    ],
    run: (input: Buffer) => {
      if (firstError(input.toString())?.includes("\n")) throw new TypeError("more than a line");
    },
    expects: () => false,
  },
  {
    name: "container-mountinfo",
    seeds: ["36 35 0:5 /null /proc/kcore ro - devtmpfs devtmpfs rw\n37 35 0:5 / /proc rw - proc proc rw\n"],
    run: (input: Buffer) => {
      const masked = ["/proc/kcore", "/proc/keys"];
      const found = maskedFiles({ linux: { maskedPaths: masked } } as never, input.toString());
      for (const path of found) if (!masked.includes(path)) throw new TypeError(path);
    },
    expects: () => false,
  },
];

/** What is accepted has the type that it says, and no key that nobody knows. */
function checkOptions(options: RuncOptions): void {
  const types = Object.values(options).map((value) => typeof value);
  if (types.join() !== "boolean,number,number,string,boolean,string,string") throw new TypeError(types.join());
}
