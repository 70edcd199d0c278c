import { parseIdentifier } from "../src/bundles/identifier.ts";
import { parseImageWishes } from "../src/client/image-config.ts";
import { parseDigest } from "../src/content/digest.ts";
import { Code, StatusError } from "../src/errors/manager-error.ts";
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
import { resolveUser } from "../src/spec/user.ts";
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
  { name: "digest", seeds: [DIGEST], run: text((digest) => parseDigest("digest", digest)), expects: isStatus },
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
