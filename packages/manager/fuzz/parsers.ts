import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseIdentifier } from "../src/bundles/identifier.ts";
import { dockerCredentials } from "../src/client/docker-credentials.ts";
import { parseImageWishes } from "../src/client/image-config.ts";
import { parseDigest } from "../src/content/digest.ts";
import { Code, StatusError } from "../src/errors/manager-error.ts";
import { MessageParts } from "../src/grpc/message-frames.ts";
import { parseTimeoutMs } from "../src/grpc/timeout-header.ts";
import { parseOverlayOptions } from "../src/layers/mount/overlay-options.ts";
import { parseFilter } from "../src/metadata/filter/parse-filter.ts";
import { parseCniObject } from "../src/network/cni/cni-json.ts";
import { parseCniResult } from "../src/network/cni/cni-result.ts";
import { parseNetworkConfig } from "../src/network/cni/network-config.ts";
import { parsePortMapping } from "../src/network/port-mapping.ts";
import { parseChallenges } from "../src/registry/challenge.ts";
import { parseHostsToml } from "../src/registry/hosts-toml.ts";
import { formatReference, parseReference } from "../src/registry/reference.ts";
import { parseShimReply } from "../src/shims/shim-reply.ts";
import { parseOciSpec } from "../src/spec/parse-spec.ts";
import { resolveUser } from "../src/spec/user.ts";
import { overSocket } from "../src/testing/echo-service.ts";
import { parseConfig, parseDocument } from "../src/transfer/document.ts";

const DIGEST = `sha256:${"0".repeat(64)}`;
const OCI = "application/vnd.oci.image";
const descriptor = { mediaType: `${OCI}.layer.v1.tar+gzip`, digest: DIGEST, size: 5 };
const MANIFEST = {
  schemaVersion: 2,
  mediaType: `${OCI}.manifest.v1+json`,
  config: { ...descriptor, mediaType: `${OCI}.config.v1+json` },
  layers: [descriptor],
};
const platform = { os: "linux", architecture: "arm64", variant: "v8" };
const INDEX = {
  schemaVersion: 2,
  mediaType: `${OCI}.index.v1+json`,
  manifests: [{ ...descriptor, platform, annotations: { a: "b" } }],
};
const CONFIG = {
  os: "linux",
  architecture: "amd64",
  config: { Env: ["A=b"], Cmd: ["sh"], User: "1:2" },
  rootfs: { type: "layers", diff_ids: [DIGEST] },
};
const CNI = { cniVersion: "1.0.0", name: "net", plugins: [{ type: "bridge", ipam: { type: "host-local" } }] };
const RESULT = {
  cniVersion: "1.0.0",
  interfaces: [{ name: "eth0" }],
  ips: [{ address: "10.0.0.2/24", gateway: "10.0.0.1" }],
  dns: {},
};

const isStatus = (error: unknown) => error instanceof StatusError;
const text = (run: (text: string) => unknown) => (input: Buffer) => run(input.toString());

/** What is taken for a name must be that name when it is written down again. */
function reference(name: string): void {
  const parsed = parseReference(name);
  const again = parseReference(formatReference(parsed));
  if (JSON.stringify(again) !== JSON.stringify(parsed)) throw new TypeError(formatReference(parsed));
}

/** A user who is a number is that number, whatever the image's files say. */
function user(input: string): void {
  const [name = "", passwd, group] = input.split("\0");
  const { uid, gid } = resolveUser(name, { passwd, group });
  for (const id of [uid, gid]) if (!Number.isInteger(id) || id < 0 || id > 2 ** 32 - 2) throw new TypeError(String(id));
  const number = /^[0-9]+$/.exec(name.split(":")[0] ?? "")?.[0];
  if (number !== undefined && uid !== Number(number)) throw new TypeError(`${number} became ${uid}`);
}

function identifier(name: string): void {
  const id: string = parseIdentifier("id", name);
  if (/[/\0\n]/.test(id) || id === "..") throw new TypeError(id);
}

/** What is a digest may become a path. */
function digest(name: string): void {
  const parsed: string = parseDigest("digest", name);
  if (!/^sha(256|512):[0-9a-f]+$/.test(parsed)) throw new TypeError(parsed);
}

const home = mkdtempSync(join(tmpdir(), "fuzz-manager-"));
process.on("exit", () => rmSync(home, { recursive: true, force: true }));

/** A password that a broken file has is in no error about it. */
async function credentials(input: Buffer): Promise<void> {
  writeFileSync(join(home, "config.json"), input);
  const { signal } = new AbortController();
  for (const host of ["example.org", "registry-1.docker.io"])
    await dockerCredentials(home)({ host } as Parameters<ReturnType<typeof dockerCredentials>>[0], signal);
}

const GRPC = Buffer.concat([Buffer.from([0, 0, 0, 0, 5]), Buffer.from([0x0a, 3, 0x61, 0x62, 0x63])]);

/** However the bytes are cut, the same messages come. */
function grpcMessages(input: Buffer): void {
  const take = (pieceBytes: number): string[] => {
    const parts = new MessageParts();
    const messages: string[] = [];
    for (let at = 0; at < input.length; at += pieceBytes) {
      parts.push(input.subarray(at, at + pieceBytes));
      for (let next = parts.takeMessage(); next !== undefined; next = parts.takeMessage())
        messages.push(next.toString("hex"));
    }
    return messages;
  };
  const whole = take(input.length || 1);
  if (take(3).join() !== whole.join()) throw new TypeError("other messages when they are cut");
}

const SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
/** HPACK, literal fields: POST /test.Echo/One, with the type that gRPC has; then a message, and the end. */
const HEADERS = Buffer.concat([
  Buffer.from([0x83, 0x86, 0x44, 13]),
  Buffer.from("/test.Echo/One"),
  Buffer.from([0x5f, 16]),
  Buffer.from("application/grpc"),
]);
const CONVERSATION = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  SETTINGS,
  Buffer.from([0, 0, HEADERS.length, 1, 4, 0, 0, 0, 1]),
  HEADERS,
  Buffer.from([0, 0, GRPC.length, 0, 1, 0, 0, 0, 1]),
  GRPC,
]);
let echo: ReturnType<typeof overSocket> | undefined;
let socketFolder: string | undefined;
process.on("exit", () => socketFolder && rmSync(socketFolder, { recursive: true, force: true }));
const LINGER_MS = 20;

/** A server takes any connection, and answers the next one. */
async function grpcConnection(input: Buffer): Promise<void> {
  echo ??= overSocket({ one: (request) => request, many: async function* () {}, both: async function* () {} });
  const { client, path, reported } = await echo;
  socketFolder = dirname(path);
  const { promise, resolve } = Promise.withResolvers<void>();
  const socket = connect(path, () => socket.end(input));
  socket.on("error", () => undefined).on("close", () => resolve());
  socket.resume().setTimeout(LINGER_MS, () => socket.destroy());
  await promise;
  const { typeUrl } = await client.one({ typeUrl: "still there" });
  if (typeUrl !== "still there" || reported.length > 0) throw new TypeError(`${typeUrl} ${reported.join()}`);
}

/** Everything here that reads what an image, a registry, a client, a plugin or a shim brings; layers have fuzzers of their own. */
export const parsers = [
  ...Object.entries({ index: INDEX, manifest: MANIFEST }).map(([name, seed]) => ({
    name: `image-${name}`,
    seeds: [JSON.stringify(seed)],
    run: (input: Buffer) => parseDocument(input, seed.mediaType, name),
    expects: isStatus,
  })),
  {
    name: "image-config",
    seeds: [JSON.stringify(CONFIG)],
    run: (input: Buffer) => {
      parseConfig(input, "config");
      parseImageWishes(input, "config");
    },
    expects: isStatus,
  },
  {
    name: "reference",
    seeds: ["busybox", "localhost:5000/a/b:c", `example.org/x@${DIGEST}`],
    run: text(reference),
    expects: isStatus,
  },
  {
    name: "digest",
    seeds: [DIGEST, `sha256:${"0123456789abcdef".repeat(4)}`, `sha512:${"fedcba9876543210".repeat(8)}`],
    run: text(digest),
    expects: isStatus,
  },
  {
    name: "docker-credentials",
    seeds: ['{"auths":{"example.org":{"auth":"bWU6eA=="},"https://index.docker.io/v1/":{"identitytoken":"t"}}}'],
    run: credentials,
    expects: isStatus,
  },
  {
    name: "stored-spec",
    seeds: ['{"process":{"args":["sh"],"env":[],"cwd":"/","user":{"uid":0,"gid":0}}}'],
    run: text((json) => parseOciSpec("config.json", json)),
    expects: isStatus,
  },
  {
    name: "grpc-messages",
    seeds: [GRPC, Buffer.concat([GRPC, GRPC]), Buffer.from([0, 0, 0, 0, 0])],
    run: grpcMessages,
    expects: isStatus,
  },
  { name: "grpc-connection", seeds: [CONVERSATION], run: grpcConnection, expects: () => false },
  {
    name: "challenge",
    seeds: ['Bearer realm="https://x/t",service="s",scope="a:b"', "Basic realm=x"],
    run: text(parseChallenges),
    expects: () => false,
  },
  {
    name: "hosts.toml",
    seeds: ['server = "https://x"\n[host."https://y"]\ncapabilities = ["pull"]\n'],
    run: text((toml) => parseHostsToml(toml, "hosts.toml", "x")),
    expects: isStatus,
  },
  {
    name: "filter",
    seeds: ['name==a,labels."b"~="^c+$"', "id!=x"],
    run: text((filter) => parseFilter(filter, "filters[0]", Code.InvalidArgument)),
    expects: isStatus,
  },
  {
    name: "user",
    seeds: ["1000\x001000:x:0:0::/:\n\0g:x:5:", "bob:wheel\0bob:x:1:2::\n\0wheel:x:3:bob\n"],
    run: text(user),
    expects: isStatus,
  },
  { name: "manager-identifier", seeds: ["web"], run: text(identifier), expects: isStatus },
  {
    name: "cni-config",
    seeds: [JSON.stringify(CNI)],
    run: text((json) => parseNetworkConfig(json, "net")),
    expects: isStatus,
  },
  {
    name: "cni-result",
    seeds: [JSON.stringify(RESULT)],
    run: text((json) => parseCniResult(parseCniObject(json, "result"))),
    expects: isStatus,
  },
  {
    name: "port-mapping",
    seeds: ["8080:80", "127.0.0.1:53:53/udp"],
    run: text(parsePortMapping),
    expects: (error: unknown) => isStatus(error) || error instanceof RangeError,
  },
  { name: "grpc-timeout", seeds: ["5S", "100m"], run: text((header) => parseTimeoutMs(header)), expects: isStatus },
  {
    name: "overlay-options",
    seeds: ["lowerdir=/a\\:b:/c,upperdir=/u,workdir=/w"],
    run: text((options) =>
      parseOverlayOptions({ type: "overlay", source: "", target: "", options: options.split(",") }),
    ),
    expects: isStatus,
  },
  {
    name: "shim-reply",
    seeds: ['{"version":3,"address":"unix:///x","protocol":"ttrpc"}', "unix:///run/x"],
    run: (input: Buffer) => parseShimReply(input),
    expects: isStatus,
  },
];
