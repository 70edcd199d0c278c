import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { isInOwnNetwork } from "./testing/own-network.ts";
import { RUNTIME, Trimaran } from "./testing/trimaran.ts";

const natRules = () => execFileSync("iptables-save", ["-t", "nat"], { encoding: "utf8", timeout: 20_000 });

if (isInOwnNetwork(import.meta.filename)) {
  test(`${RUNTIME}: a bridge, names, a published port; nothing of it stays`, { timeout: 60_000 }, async () => {
    using trimaran = new Trimaran();
    const { rootfs } = trimaran;
    const serve = "echo hello | busybox nc -l -p 80; sleep 1000";
    const web = await trimaran.run("-d", "--name", "web", "-p", "18080:80", rootfs, "sh", "-c", serve);
    assert.deepEqual([web.code, web.stderr], [0, ""]);
    const [listed] = (await trimaran.call("ps", "--json")).stdout.split("\n").map((line) => line && JSON.parse(line));
    assert.deepEqual([listed.network, listed.ports[0].hostPort], ["bridge", 18080]);
    const [inspected] = JSON.parse((await trimaran.call("inspect", "web")).stdout);
    const [address = ""] = inspected.networkAddresses;
    assert.match(address, /^10\.77\.0\.\d+\/16$/);

    const listening = () => trimaran.call("exec", "web", "busybox", "netstat", "-ltn");
    while (!/:80 /.test((await listening()).stdout)) await setTimeout(20);
    const client = "busybox nc 10.77.0.1 18080; hostname; cat /etc/hostname /etc/hosts";
    const seen = await trimaran.run("--rm", "--name", "cli", "--net", "bridge", rootfs, "sh", "-c", client);
    assert.match(seen.stdout, /^hello\ncli\ncli\n127\.0\.0\.1\tlocalhost\n[\s\S]*10\.77\.0\.\d+\tcli\n$/);
    const none = await trimaran.run("--rm", rootfs, "ls", "/sys/class/net");
    assert.equal(none.stdout, "lo\n");

    assert.match(natRules(), /--dport 18080/);
    assert.equal((await trimaran.call("rm", "-f", "web")).code, 0);
    assert.doesNotMatch(natRules(), /18080|trimaran-e2e/);
    assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(trimaran.directory));
  });

  test("a container that could not be started leaves no network", { timeout: 60_000 }, async () => {
    using trimaran = new Trimaran();
    const { rootfs } = trimaran;
    const failed = await trimaran.run("--name", "bad", "-p", "18082:80", rootfs, "/nope");
    assert.equal(failed.code, 127);
    assert.doesNotMatch(natRules(), /18082/);
    const unknown = await trimaran.run("--net", "nope", rootfs, "true");
    assert.match(unknown.stderr, /network "nope": not in \/etc\/cni\/net.d\n {2}try: trimaran run --net bridge …\n$/);
    assert.equal((await trimaran.call("ps", "-a", "-q")).stdout, "");
  });
}
