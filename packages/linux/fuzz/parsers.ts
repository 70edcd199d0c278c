import { directoryOfInit } from "../src/cgroup/entry.ts";
import { CgroupError } from "../src/cgroup/error.ts";
import { detectCgroups } from "../src/cgroup/host.ts";
import { readKeyed } from "../src/cgroup/keyed.ts";
import { planCgroup } from "../src/cgroup/plan.ts";
import { parseRdma } from "../src/cgroup/stats.ts";
import { parsePressure } from "../src/cgroup/stats-v2.ts";
import { DBusError } from "../src/dbus/dbus-error.ts";
import { decodeMessage, encodeMessage, MESSAGE, messageLength } from "../src/dbus/message.ts";
import { variant } from "../src/dbus/value.ts";
import { readHostFeatures } from "../src/launch/host.ts";
import { compileInit } from "../src/launch/init.ts";
import type { InitPlan } from "../src/launch/plan.ts";
import { defaultSpec } from "../src/launch/testing/default-spec.ts";
import { parseMountOptions } from "../src/mount/options.ts";
import {
  addressBody,
  encodeMessage as encodeNetlink,
  HEADER_BYTES,
  IFLA,
  LINK_BYTES,
  linkBody,
  parseAttributes,
  parseMessages,
  RTM,
  text,
} from "../src/network/netlink.ts";
import { parseCacheFile } from "../src/seccomp/cache.ts";
import { SeccompError } from "../src/seccomp/profile.ts";
import { parseRules } from "../src/seccomp/rules.ts";
import { InvalidSpec } from "../src/spec/invalid-spec.ts";
import { parseResources } from "../src/spec/resources.ts";
import { parseSeccomp, parseSeccompListener } from "../src/spec/seccomp.ts";
import { parseExecProcess, parseSpec } from "../src/spec/spec.ts";
import { everything } from "../src/spec/testing/everything.ts";
import { annotationProperties } from "../src/systemd/unit-annotations.ts";
import { expandSlice, parseScopeName } from "../src/systemd/unit-name.ts";

const host = readHostFeatures();
const stdio: InitPlan["stdio"] = { kind: "slots", stdin: 0, stdout: 1, stderr: 2, prelude: () => undefined };
const cgroups = {
  mode: "v1",
  hierarchies: [{ controllers: ["pids"], mountPoint: "/c/pids", ownPath: "/own" }],
} as const;
const isInvalid = (error: unknown) => error instanceof InvalidSpec;

/** What is accepted must compile, or be refused with the field; the program must fit the format. */
function compile(input: Buffer): void {
  const spec = parseSpec(input);
  parseResources(spec.linux.resources);
  parseSeccompListener(spec.linux.seccomp);
  const plan = {
    id: "fuzz",
    spec,
    bundle: "/bundle",
    rootfs: [],
    host,
    stdio,
    cgroup: { attachFiles: [], ownDirs: [] },
  };
  compileInit(plan);
}

/** A path in a plan is below its mount, whatever was asked for. */
function cgroupPath(input: Buffer): void {
  const { hierarchies } = planCgroup(cgroups as never, input.toString(), "id");
  for (const { directory } of hierarchies)
    if (!directory.startsWith("/c/pids/") || directory.split("/").includes("..")) throw new Error(directory);
}

/** What a container reports of its cgroup leads nowhere else. */
function cgroupOfInit(input: Buffer): void {
  const plan = { path: "/a/b", hierarchies: [], directories: [], unified: "/c/a/b", unifiedMountPoint: "/c" };
  const found = directoryOfInit(plan, input.toString());
  if (found !== undefined && (!`${found}/`.startsWith("/c/a/b/") || found.split("/").includes("..")))
    throw new TypeError(found);
}

/** The kernel's texts about cgroups, in all the ways that they are read. */
function cgroupTexts(input: Buffer): void {
  const texts = input.toString();
  readKeyed(texts);
  parseRdma(texts);
  parsePressure(texts);
  const [mountinfo = "", selfCgroup = ""] = texts.split("\0");
  detectCgroups({ mountinfo, selfCgroup });
}

const SELF_CGROUP = "4:memory:/a\n0::/a\n";
const MOUNTINFO = [
  "30 23 0:26 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory",
  "31 23 0:27 /x /sys/fs/cgroup/uni\\040fied rw - cgroup2 cgroup2 rw,nsdelegate",
].join("\n");
const PRESSURE = "some avg10=0.00 avg60=0.10 avg300=0.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";

/** Whole messages of a stream, as the connection takes them. */
function dbus(input: Buffer): void {
  const length = messageLength(input);
  if (length === undefined || length > input.length) throw new DBusError("not whole yet");
  decodeMessage(input.subarray(0, length));
}

const BUS = { path: "/org/freedesktop/systemd1", interface: "org.freedesktop.systemd1.Manager" };
const PROPERTIES = [
  ["Delegate", variant("b", true)],
  ["PIDs", variant("au", [1, 2])],
];
const DBUS = [
  { kind: MESSAGE.reply, serial: 1, replySerial: 1, sender: ":1.2", signature: "o", body: ["/job/1"] },
  { kind: MESSAGE.error, serial: 2, replySerial: 7, errorName: "a.b.Exists", signature: "s", body: ["there is one"] },
  {
    kind: MESSAGE.signal,
    serial: 3,
    ...BUS,
    member: "JobRemoved",
    signature: "uoss",
    body: [1, "/job/1", "a", "done"],
  },
  {
    kind: MESSAGE.call,
    serial: 4,
    ...BUS,
    member: "Start",
    signature: "ssa(sv)a(sa(sv))",
    body: ["a", "b", PROPERTIES, []],
  },
];

/** However long a message or an attribute says that it is, nothing is read behind the answer's end, and reading ends. */
function netlink(input: Buffer): void {
  for (const { body } of parseMessages(input))
    for (const structBytes of [LINK_BYTES, HEADER_BYTES])
      for (const value of parseAttributes(body, structBytes).values()) parseAttributes(value, 0);
}

const NETLINK = [
  encodeNetlink(RTM.newLink, 0, linkBody(7, 1, 1), [[IFLA.name, text("eth0")]]),
  encodeNetlink(RTM.newAddress, 2, addressBody(2, 24, 7), [[1, Buffer.from([10, 0, 0, 2])]]),
];

/** A container's unit has a name that systemd takes, and its slice a path without a way out. */
function scopeName(input: Buffer): void {
  const { unit, slice } = parseScopeName(input.toString(), "id");
  const path = `${expandSlice(slice)}/${unit}`;
  if (/[\0\n]/.test(path) || path.split("/").includes("..")) throw new TypeError(path);
}

/** No annotation, one a line here, sets a property that is a command. */
function unitAnnotations(input: Buffer): void {
  const lines = input.toString().split("\n");
  const annotations = new Map(lines.map((line) => [line.split("=", 1)[0] ?? "", line.slice(line.indexOf("=") + 1)]));
  for (const [name] of annotationProperties(annotations))
    if (!["KillSignal", "TimeoutStopUSec", "CollectMode"].includes(name)) throw new TypeError(name);
}

const PROFILE = {
  defaultAction: "SCMP_ACT_ERRNO",
  architectures: ["SCMP_ARCH_X86_64"],
  syscalls: [
    {
      names: ["read", "clone"],
      action: "SCMP_ACT_ALLOW",
      args: [{ index: 0, value: 2114060288, op: "SCMP_CMP_MASKED_EQ" }],
    },
  ],
};

/** Everything here that reads what an image, a caller or a file brings. */
export const parsers = [
  {
    name: "config.json",
    seeds: [JSON.stringify(defaultSpec(["true"])), JSON.stringify(everything())],
    run: compile,
    expects: isInvalid,
  },
  {
    name: "exec-process",
    seeds: [JSON.stringify(defaultSpec(["true"]).process)],
    run: parseExecProcess,
    expects: isInvalid,
  },
  {
    name: "mount-options",
    seeds: ["rbind,ro,nosuid,rslave", "size=64k,mode=700,idmap=uids=0-1-1;gids=0-1-1", "lowerdir=/a:/b,upperdir=/c"],
    run: (input: Buffer) => parseMountOptions(input.toString().split(","), () => "mounts[0]"),
    expects: isInvalid,
  },
  {
    name: "seccomp",
    seeds: [JSON.stringify(PROFILE)],
    run: (input: Buffer) => {
      const profile = parseSeccomp(JSON.parse(input.toString()));
      if (profile !== undefined) parseRules(profile);
    },
    expects: (error: unknown) => isInvalid(error) || error instanceof SeccompError || error instanceof SyntaxError,
  },
  {
    name: "seccomp-cache",
    seeds: [new Uint8Array(64)],
    run: (input: Buffer) => parseCacheFile(input),
    expects: () => false,
  },
  {
    name: "cgroup-path",
    seeds: ["/a/b", "a/../b", "/../x"],
    run: cgroupPath,
    expects: (error: unknown) => error instanceof CgroupError,
  },
  {
    name: "cgroup-of-init",
    seeds: ["0::/a/b/init\n", "1:name=systemd:/\n0::/x/a/b/c\n"],
    run: cgroupOfInit,
    expects: () => false,
  },
  {
    name: "cgroup-texts",
    seeds: [`${MOUNTINFO}\0${SELF_CGROUP}`, `${MOUNTINFO}\n${PRESSURE}`, `${MOUNTINFO}\noom_kill 7\n`],
    run: cgroupTexts,
    expects: (error: unknown) => error instanceof Error && error.message === "no cgroup file system is mounted",
  },
  {
    name: "dbus",
    seeds: DBUS.map((message) => encodeMessage(message as Parameters<typeof encodeMessage>[0])),
    run: dbus,
    expects: (error: unknown) => error instanceof DBusError,
  },
  { name: "netlink", seeds: [...NETLINK, Buffer.concat(NETLINK)], run: netlink, expects: () => false },
  {
    name: "scope-name",
    seeds: ["machine.slice:libpod:web", ":p:n", "a-b-c.slice::n"],
    run: scopeName,
    expects: (error: unknown) => error instanceof CgroupError,
  },
  {
    name: "unit-annotations",
    seeds: ["org.systemd.property.KillSignal=int32 15\norg.systemd.property.CollectMode='inactive'", "a=b"],
    run: unitAnnotations,
    expects: isInvalid,
  },
];
