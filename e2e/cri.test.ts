import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { readdir, rm, rmdir } from "node:fs/promises";
import { release, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { ensureRecentRunsc } from "../tools/debian.ts";
import type { EngineVersion, RuntimeHandler } from "./harness/config.ts";
import { type Engine, startContainerd } from "./harness/containerd.ts";
import { CriClient } from "./harness/cri/client.ts";
import { openPodNetwork } from "./harness/cri/network.ts";
import { Pod, type PodOptions, STATE } from "./harness/cri/pod.ts";
import { buildImages, IMAGE, PAUSE_IMAGE } from "./harness/images.ts";
import { KataTemplates } from "./harness/kata-templates.ts";
import { assertNoLeaks, snapshot } from "./harness/leaks.ts";
import { CONTROL, chosen, GVISOR, KATA, TRIMARAN } from "./harness/matrix.ts";
import { PATIENCE } from "./harness/patience.ts";

const KUBELET_PODS = "/var/lib/kubelet/pods";
/** Pods in machines take minutes under emulation: they run when they are asked for, and in a part of their own. */
const RUNTIMES: Readonly<Record<string, string>> =
  process.env.E2E_RUNTIMES === "kata" ? { kata: KATA } : { control: CONTROL, trimaran: TRIMARAN, gvisor: GVISOR };
const folder = mkdtempSync(join(tmpdir(), "trimaran-cri-"));
after(() => rmSync(folder, { recursive: true }));

/** What a kubelet does, without one: CRI's own calls at containerd's CRI plugin. */
for (const version of chosen<EngineVersion>("E2E_ENGINES", { "1.6": "1.6", "2.x": "2.x" })) {
  for (const runtime of chosen("E2E_RUNTIMES", RUNTIMES)) {
    const isGvisor = runtime === GVISOR;
    const isKata = runtime === KATA;
    describe(`CRI: ${runtime} on containerd ${version}`, { timeout: 240_000 * PATIENCE }, () => {
      const stack = new AsyncDisposableStack();
      let engine: Engine;
      let cri: CriClient;
      let bridge: string;
      before(async () => {
        const runtimes = {
          own: await handler(runtime, version),
          host: await handler(runtime, version, 'network = "host"'), // runsc wants to be told
        };
        engine = stack.use(await startContainerd({ version, cri: true, sandboxImage: PAUSE_IMAGE, runtimes }));
        if (isKata) stack.use(new KataTemplates()).serve(engine.trimaranState);
        bridge = stack.use(await openPodNetwork(engine)).bridge;
        cri = stack.use(new CriClient(engine.address));
        await cri.ready();
        await importImages(engine, cri);
      });
      after(() => stack.disposeAsync());

      /** A test with a pod of its own, which is stopped and removed, and nothing of it may be left. */
      const withPod = (
        name: string,
        body: (pod: Pod) => Promise<void>,
        options: () => Partial<PodOptions> = () => ({}),
      ) =>
        test(name, async () => {
          const scope = (ids: string[]) => ({
            ...{ tag: engine.tag, dir: engine.dir, namespace: engine.namespace, address: engine.address, ids },
            ...{ pid: engine.pid, taskServerPids: () => engine.taskServerPids() },
          });
          const clean = await snapshot(scope([]));
          const ids: string[] = [];
          {
            await using pod = await Pod.run(cri, engine, { handler: "own", ...options() });
            await body(pod);
            ids.push(...pod.ids);
          }
          await assertNoLeaks(scope(ids), clean);
        });

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
          assert.ok((await server.memoryBytes()) > 0);

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
        async (pod) => {
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

      withPod("two pods reach each other", async (pod) => {
        await using other = await Pod.run(cri, engine, { handler: "own" });
        await pod.start("server", ["sh", "-c", "echo hello > /tmp/f; exec httpd -f -p 8080 -h /tmp"]);
        const client = await other.start("client", ["sleep", "1000"]);
        const url = `http://${await pod.address()}:8080/f`;
        const { stdout } = await client.exec(["sh", "-c", `until wget -q -O - ${url}; do sleep 0.1; done`]);
        assert.equal(String(stdout), "hello\n");
        pod.ids.push(...other.ids);
      });

      if (isKata)
        test("the host's network, which a machine can't have, is refused by field", async () => {
          const running = Pod.run(cri, engine, { handler: "own", network: "node" });
          await assert.rejects(running, /linux\.namespaces: no network namespace: the host's network can't be had/);
        });
      else
        withPod(
          "the host's network",
          async (pod) => {
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
          () => {
            const uid = engine.newId();
            mkdirSync(emptyDir(uid), { recursive: true });
            const hint = (field: string) => `dev.gvisor.spec.mount.cache.${field}`;
            return { uid, annotations: { [hint("type")]: "tmpfs", [hint("share")]: "pod", [hint("options")]: "rw" } };
          },
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
    });
  }
}

/** Where the kubelet has the pod's volume "cache". */
function emptyDir(uid: string): string {
  return join(KUBELET_PODS, uid, "volumes/kubernetes.io~empty-dir/cache");
}

function pick({ state, exitCode, reason }: { state: number; exitCode: number; reason: string }) {
  return [state, exitCode, reason];
}

/** Of gVisor as its README says it: the options that gVisor's own shim has. Debian 12's runsc under 1.6, the backports' under 2.x. */
async function handler(runtime: string, version: EngineVersion, flags = ""): Promise<RuntimeHandler> {
  if (runtime !== GVISOR) return { type: runtime };
  const path = version === "1.6" ? "/usr/bin/runsc" : await ensureRecentRunsc();
  const file = join(folder, `${version}${flags === "" ? "" : "-flags"}.toml`);
  writeFileSync(file, `binary_name = "${path}"\n[runsc_config]\n${flags}\n`);
  return { type: runtime, options: `TypeUrl = "io.containerd.runsc.v1.options"\nConfigPath = "${file}"` };
}

/** Into CRI's own namespace; it hears of them by an event. */
async function importImages(engine: Engine, cri: CriClient): Promise<void> {
  const { oci } = await buildImages();
  await engine.ctrOk("--namespace", "k8s.io", "images", "import", oci);
  for (const image of [IMAGE, PAUSE_IMAGE])
    while ((await cri.call("ImageStatus", { image: { image } })).image === undefined) await delay(20);
}
