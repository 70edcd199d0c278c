import { containerd, google, WireError } from "@trimaran/proto";
import { StatusError } from "ttrpc-ts";
import { parseShimArguments } from "../src/bootstrap/arguments.ts";
import { parseMajorVersion } from "../src/bootstrap/daemon-version.ts";
import { parseStartInput } from "../src/bootstrap/input.ts";
import { parseIdentifier } from "../src/identifier.ts";
import { parseStdio } from "../src/stdio/uris.ts";

const isStatus = (error: unknown) => error instanceof StatusError;
const expected = { id: "web", namespace: "default" };
const params = containerd.runtime.bootstrap.v1.BootstrapParams.encode({ instanceId: "web", namespace: "default" });

/** Everything here that reads what a caller brings. */
export const parsers = [
  {
    name: "stdio-uris",
    seeds: ["/fifo", "binary:///bin/log?a=b&c", "file:///var/log/a%20b", "fifo:///x"],
    run: (input: Buffer) => {
      const text = input.toString();
      for (const terminal of [true, false]) parseStdio({ stdin: text, stdout: text, stderr: text, terminal });
    },
    expects: isStatus,
  },
  {
    name: "start-input",
    seeds: [params, google.protobuf.Any.encode({ typeUrl: "x", value: new Uint8Array(3) })],
    run: (input: Buffer) => parseStartInput(input, expected),
    expects: (error: unknown) => error instanceof WireError,
  },
  {
    name: "shim-arguments",
    seeds: ["-namespace\0default\0-id\0web\0start", "--debug=true\0-id=web\0delete"],
    run: (input: Buffer) => parseShimArguments(input.toString().split("\0")),
    expects: isStatus,
  },
  {
    name: "identifier",
    seeds: ["web", "a.b-c_d"],
    run: (input: Buffer) => checkIdentifier(input.toString()),
    expects: isStatus,
  },
  {
    name: "daemon-version",
    seeds: ["containerd github.com/containerd/containerd v1.7.2 abc"],
    run: (input: Buffer) => {
      if (!Number.isInteger(parseMajorVersion(input.toString()))) throw new Error("no number");
    },
    expects: () => false,
  },
];

/** What passes becomes a path. */
function checkIdentifier(text: string): void {
  const id = parseIdentifier("id", text);
  if (/[/\0\n]/.test(id) || id === "." || id === ".." || id.length > 76) throw new Error(JSON.stringify(id));
}
