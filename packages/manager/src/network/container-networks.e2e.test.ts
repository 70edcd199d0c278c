import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { once } from "../host/once.ts";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { ContainerNetworks } from "./container-networks.ts";
import { loadNamespaceLibc, removeNetworkNamespace } from "./network-namespace.ts";
import { parsePortMapping } from "./port-mapping.ts";
import { isInOwnNetwork } from "./testing/own-network.ts";

const libc = once(loadNamespaceLibc);

function openNetworks(state: string) {
  return new ContainerNetworks({
    state,
    configDirectory: join(state, "net.d"),
    cni: { pluginDirectories: ["/usr/lib/cni"], environment: { PATH: process.env.PATH }, timeoutMs: 20_000 },
    libc,
  });
}

const inside = (netns: string, ...words: string[]) =>
  execFileSync("nsenter", [`--net=${netns}`, ...words], { encoding: "utf8", timeout: 20_000 });
const natRules = () => execFileSync("iptables-save", ["-t", "nat"], { encoding: "utf8", timeout: 20_000 });
const mounts = () => readFileSync("/proc/self/mountinfo", "utf8");
const ownNamespaceId = () => readlinkSync("/proc/thread-self/ns/net");

if (isInOwnNetwork(import.meta.filename)) {
  spawnSync("ip", ["link", "set", "lo", "up"]);

  test("two containers on the bridge reach each other and the host, and leave nothing", async () => {
    using directory = temporaryDirectory();
    const networks = openNetworks(directory.path);
    const web = await networks.connect("ns", "web", "bridge", []);
    const db = await networks.connect("ns", "db", "bridge", []);
    const [address = ""] = web.result.addresses;
    assert.match(address, /^10\.77\.0\.\d+\/16$/);
    assert.notEqual(address, db.result.addresses[0]);
    assert.match(inside(web.netns, "ip", "-o", "addr"), new RegExp(`lo .*127\\.0\\.0\\.1[^]*eth0 .*${address}`));
    assert.match(
      inside(db.netns, "busybox", "ping", "-c", "1", "-W", "5", address.split("/")[0] ?? ""),
      / 0% packet loss/,
    );
    assert.match(inside(db.netns, "busybox", "ping", "-c", "1", "-W", "5", "10.77.0.1"), / 0% packet loss/);
    await networks.check("ns", "web");
    await networks.disconnect("ns", "web");
    await networks.disconnect("ns", "db");
    await networks.disconnect("ns", "db");
    assert.ok(!mounts().includes(directory.path));
    assert.deepEqual(readdirSync(join(directory.path, "networks/ns")), []);
    assert.deepEqual(readdirSync(join(directory.path, "netns/ns")), []);
    const held = readdirSync(join(directory.path, "addresses/trimaran")).filter((name) => /^\d/.test(name));
    assert.deepEqual(held, []);
    assert.doesNotMatch(natRules(), /ns--/);
  });

  test("a published port leads to the container, and is free again afterwards", { timeout: 30_000 }, async () => {
    using directory = temporaryDirectory();
    const networks = openNetworks(directory.path);
    const { netns, result } = await networks.connect("ns", "web", "bridge", [parsePortMapping("18080:80")]);
    assert.match(natRules(), new RegExp(`--dport 18080 .*--to-destination ${result.addresses[0]?.split("/")[0]}:80`));
    const client = await networks.connect("ns", "client", "bridge", []);
    const listener = spawn("nsenter", [`--net=${netns}`, "busybox", "nc", "-l", "-p", "80"], { stdio: "pipe" });
    const exited = new Promise((resolve) => listener.once("exit", resolve));
    listener.stdin.end("hello");
    while (inside(netns, "ss", "-Hltn", "sport = :80") === "") await setTimeout(10);
    const answer = inside(client.netns, "timeout", "10", "busybox", "nc", "10.77.0.1", "18080");
    assert.equal(answer, "hello");
    await exited;
    await networks.disconnect("ns", "client");
    await networks.disconnect("ns", "web");
    assert.doesNotMatch(natRules(), /18080/);
  });

  test("a crash at any moment: the next sweep takes back what nobody knows", async () => {
    using directory = temporaryDirectory();
    const networks = openNetworks(directory.path);
    const gone = await networks.connect("ns", "gone", "bridge", [parsePortMapping("18081:80")]);
    await networks.connect("ns", "kept", "bridge", []);
    removeNetworkNamespace(gone.netns, libc()); // as after a reboot
    await networks.sweep("ns", async (id) => id === "kept");
    assert.equal(await networks.result("ns", "gone"), undefined);
    assert.notEqual(await networks.result("ns", "kept"), undefined);
    assert.doesNotMatch(natRules(), /18081/);
    await networks.disconnect("ns", "kept");
  });

  test("a plugin that fails leaves no namespace and no file, and says why", async () => {
    using directory = temporaryDirectory();
    const networks = openNetworks(directory.path);
    const bad = { cniVersion: "1.0.0", name: "bad", plugins: [{ type: "bridge", bridge: "much-too-long-a-name" }] };
    execFileSync("mkdir", [join(directory.path, "net.d")]);
    writeFileSync(join(directory.path, "net.d/bad.conflist"), JSON.stringify(bad));
    await assert.rejects(networks.connect("ns", "web", "bad", []), /network plugin bridge \(ADD\): /);
    await assert.rejects(networks.connect("ns", "web", "nope", []), { code: 5, message: /network "nope": not in/ });
    assert.ok(!mounts().includes(directory.path));
    assert.ok(!existsSync(networks.netnsPath("ns", "web")));
    assert.equal(await networks.result("ns", "web"), undefined);
  });

  test("the calling thread stays in its own namespace", async () => {
    using directory = temporaryDirectory();
    const before = ownNamespaceId();
    const networks = openNetworks(directory.path);
    const { netns } = await networks.connect("ns", "web", "bridge", []);
    assert.equal(ownNamespaceId(), before);
    assert.notEqual(inside(netns, "readlink", "/proc/self/ns/net").trim(), before);
    await networks.disconnect("ns", "web");
  });
}
