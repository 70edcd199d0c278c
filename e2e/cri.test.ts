import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { readdir, rm, rmdir } from "node:fs/promises";
import { release } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { criMatrix } from "./harness/cri/matrix.ts";
import { Pod, STATE } from "./harness/cri/pod.ts";

const KUBELET_PODS = "/var/lib/kubelet/pods";

criMatrix(
  "CRI",
  ({ isGvisor, isKata, withPod, without }) => {
    withPod(
      "three containers: logs, exit statuses, one network, one /dev/shm, exec with a limit, stats",
      async (pod) => {
        const job = await pod.start("job", ["sh", "-c", "cat /proc/version; hostname; echo e >&2; exit 7"]);
        const server = await pod.start("server", [
          "sh",
          "-c",
          "echo hello > /dev/shm/f; exec httpd -f -p 8080 -h /dev/shm",
        ]);
        const client = await pod.start("client", ["sleep", "1000"]);
        assert.deepEqual(pick(await job.exited()), [STATE.exited, 7, "Error"]);
        const [kernel, host] = await job.log();
        assert.match(kernel ?? "", isGvisor ? /^Linux version 4\.4\.0 / : /^Linux version [5-9]/);
        assert.equal(kernel?.startsWith(`Linux version ${release()} `), !isGvisor && !isKata);
        assert.deepEqual([host, await job.log("stderr")], ["trimaran-pod", ["e"]]);

        const shm = "until [ -s /dev/shm/f ]; do sleep 0.1; done; cat /dev/shm/f; grep ' /dev/shm ' /proc/mounts";
        assert.match(String((await client.exec(["sh", "-c", shm])).stdout), /^hello\n\S+ \/dev\/shm tmpfs /);
        const script = "until wget -q -O - http://127.0.0.1:8080/f; do sleep 0.1; done; echo e >&2; exit 4";
        const { exitCode, stdout, stderr } = await client.exec(["sh", "-c", script]);
        assert.deepEqual([exitCode, String(stdout), /e\n$/.test(String(stderr))], [4, "hello\n", true]);
        await assert.rejects(client.exec(["sleep", "1000"], 1), /timeout 1s exceeded/);
        assert.match(await pod.address(), /^10\.203\.0\./);
        assert.ok((await server.stats()).memoryBytes > 0);

        await client.stop(0);
        assert.equal((await client.status()).exitCode, 137);
        await client.remove();
        assert.equal((await server.status()).state, STATE.running);
        await pod.stop();
        assert.equal((await server.status()).state, STATE.exited);
      },
    );

    withPod(
      "StopContainer: SIGTERM first; containerd and task servers are killed meanwhile, all is found again",
      async (pod, { engine, cri }) => {
        const script = "trap 'exit 23' TERM; echo up; while :; do sleep 0.05; done";
        const polite = await pod.start("polite", ["sh", "-c", script]);
        while ((await polite.log()).length === 0) await delay(20);
        for (const pid of await engine.taskServerPids()) process.kill(pid, "SIGKILL"); // upstream has none
        await engine.restart();
        await cri.ready();
        assert.equal((await polite.status()).state, STATE.running);
        assert.equal((await polite.exec(["true"])).exitCode, 0);
        await polite.stop(10);
        assert.deepEqual(pick(await polite.status()), [STATE.exited, 23, "Error"]);
        const again = await pod.start("again", ["true"]);
        assert.deepEqual(pick(await again.exited()), [STATE.exited, 0, "Completed"]);
      },
    );

    withPod("two pods reach each other", async (pod, { engine, cri }) => {
      await using other = await Pod.run(cri, engine, { handler: "own" });
      await pod.start("server", ["sh", "-c", "echo hello > /tmp/f; exec httpd -f -p 8080 -h /tmp"]);
      const client = await other.start("client", ["sleep", "1000"]);
      const url = `http://${await pod.address()}:8080/f`;
      const { stdout } = await client.exec(["sh", "-c", `until wget -q -O - ${url}; do sleep 0.1; done`]);
      assert.equal(String(stdout), "hello\n");
      pod.ids.push(...other.ids);
    });

    if (isKata)
      without("the host's network, which a machine can't have, is refused by field", async ({ engine, cri }) => {
        const running = Pod.run(cri, engine, { handler: "own", network: "node" });
        await assert.rejects(running, /linux\.namespaces: no network namespace: the host's network can't be had/);
      });
    else
      withPod(
        "the host's network",
        async (pod, { bridge }) => {
          const client = await pod.start("client", ["sleep", "1000"]);
          const { stdout } = await client.exec(["cat", "/proc/net/dev"]);
          assert.match(String(stdout), new RegExp(`^ *${bridge}:`, "m"));
        },
        () => ({ handler: "host", network: "node" }),
      );

    if (isGvisor)
      withPod(
        "an emptyDir that annotations hint at is one tmpfs of the pod's",
        async (pod) => {
          try {
            const mounts = { "/cache": emptyDir(pod.uid) };
            await pod.start("writer", ["sh", "-c", "echo hello > /cache/f; sleep 1000"], { mounts });
            const reader = await pod.start("reader", ["sleep", "1000"], { mounts });
            const script = "until [ -s /cache/f ]; do sleep 0.1; done; cat /cache/f; grep ' /cache ' /proc/mounts";
            assert.match(String((await reader.exec(["sh", "-c", script])).stdout), /^hello\n\S+ \/cache tmpfs /);
            assert.deepEqual(await readdir(emptyDir(pod.uid)), [], "the host has none of it");
          } finally {
            await rm(join(KUBELET_PODS, pod.uid), { recursive: true });
            for (const path of [KUBELET_PODS, dirname(KUBELET_PODS)]) await rmdir(path).catch(() => undefined); // a kubelet's
          }
        },
        ({ engine }) => {
          const uid = engine.newId();
          mkdirSync(emptyDir(uid), { recursive: true });
          const hint = (field: string) => `dev.gvisor.spec.mount.cache.${field}`;
          return { uid, annotations: { [hint("type")]: "tmpfs", [hint("share")]: "pod", [hint("options")]: "rw" } };
        },
      );

    if (isGvisor)
      withPod(
        "StopPodSandbox, where runsc's own kill is slower than the end of what it kills",
        async (pod) => {
          await pod.start("one", ["sleep", "1000"]);
          await pod.stop();
        },
        () => ({ handler: "slow" }),
      );

    // gVisor's containers have their pod's limits: they share a sandbox
    if (!isGvisor)
      withPod("out of memory", async (pod) => {
        const eater = await pod.start("eater", ["dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1"], {
          memoryLimitBytes: 64 << 20,
        });
        assert.deepEqual(pick(await eater.exited()), [STATE.exited, 137, "OOMKilled"]);
      });

    withPod("a command that is missing: the reason is the container's message", async (pod) => {
      await assert.rejects(pod.start("no", ["/nope"]), /\/nope.*no such file/);
    });
  },
  { handlers: () => ({ host: { flags: 'network = "host"' }, slow: { killDelayS: 1 } }) }, // runsc wants to be told of the network
);

/** Where the kubelet has the pod's volume "cache". */
function emptyDir(uid: string): string {
  return join(KUBELET_PODS, uid, "volumes/kubernetes.io~empty-dir/cache");
}

function pick({ state, exitCode, reason }: { state: number; exitCode: number; reason: string }) {
  return [state, exitCode, reason];
}
