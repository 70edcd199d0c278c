import assert from "node:assert/strict";
import { chmod } from "node:fs/promises";
import { criMatrix } from "./harness/cri/matrix.ts";
import { Pod, type PodContainer, type PodContainerOptions } from "./harness/cri/pod.ts";
import { APP_IMAGE } from "./harness/images.ts";

/** The first of a pod's ids on the host, as the kubelet gives them out: multiples of 65,536. */
const FIRST_HOST_ID = 65_536 * 7;

/** Run a script in a container of its own; the lines of its stdout. */
async function say(pod: Pod, name: string, script: string, options: PodContainerOptions = {}): Promise<string[]> {
  const container = await pod.start(name, ["sh", "-c", script], options);
  await container.exited(30_000);
  return await container.log();
}

/** Once the container has said so much that it is there. */
async function hello(box: PodContainer): Promise<void> {
  while ((await box.log()).length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
}

criMatrix("CRI's pods", ({ version, isGvisor, isKata, withPod }) => {
  const ids = "id -u; id -g; id -G";
  // containerd 1.6 does not look up the groups of an image's own user
  const groupsOfApp = version === "1.6" ? "1000" : "1000 2000";
  withPod(
    "users: the image's by name, the pod's by number and by name, groups of the image and of the pod",
    async (pod) => {
      assert.deepEqual(await say(pod, "image", ids, { image: APP_IMAGE }), ["1000", "1000", groupsOfApp]);
      assert.deepEqual(await say(pod, "number", ids, { user: 1000 }), ["1000", "1000", "1000 2000"]);
      assert.deepEqual(await say(pod, "name", ids, { user: "app", groups: [4000] }), [
        "1000",
        "1000",
        "1000 2000 4000",
      ]);
      const own = { image: APP_IMAGE, user: 1234, group: 3000 };
      assert.deepEqual(await say(pod, "own", ids, own), ["1234", "3000", "3000"]);
    },
  );

  withPod(
    "seccomp: RuntimeDefault takes a new user namespace from root; a sandbox's own kernel has no filter",
    async (pod) => {
      const script = "grep Seccomp: /proc/self/status; unshare -U echo new";
      assert.deepEqual(await say(pod, "unconfined", script), ["Seccomp:\t0", "new"]);
      const confined = isGvisor || isKata ? ["Seccomp:\t0", "new"] : ["Seccomp:\t2"]; // as their READMEs say
      assert.deepEqual(await say(pod, "default", script, { seccomp: "runtimeDefault" }), confined);
    },
  );

  withPod("processes: each container has its own", async (pod) => {
    const one = await pod.start("one", ["sh", "-c", "echo up; exec sleep 4321"]);
    await hello(one);
    assert.deepEqual(await say(pod, "two", "ps | grep -c '[s]leep 4321'"), ["0"]);
  });

  withPod(
    "processes: a pod that shares them",
    async (pod) => {
      const one = await pod.start("one", ["sh", "-c", "echo up; exec sleep 4321"]);
      await hello(one);
      assert.deepEqual(await say(pod, "two", "ps | grep -c '[s]leep 4321'"), ["1"]);
    },
    () => ({ sharesProcesses: true }),
  );

  withPod("the log is rotated, a limit is changed, stats are of the pod and of each container", async (pod) => {
    const box = await pod.start("box", ["sh", "-c", "while :; do echo tick; sleep 0.05; done"], {
      memoryLimitBytes: 64 << 20,
    });
    await hello(box);
    const old = await box.rotateLog();
    while ((await box.log().catch(() => [])).length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.ok((await box.log("stdout", old)).length > 0);
    if (!isGvisor && !isKata) {
      const limit = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max";
      assert.equal(String((await box.exec(["sh", "-c", limit])).stdout), `${64 << 20}\n`);
      await box.update({ memoryLimitInBytes: 128 << 20 });
      assert.equal(String((await box.exec(["sh", "-c", limit])).stdout), `${128 << 20}\n`);
    }
    const [own, whole] = [await box.stats(), await pod.stats()];
    assert.ok(own.memoryBytes > 0 && own.cpuNs > 0, JSON.stringify(own));
    assert.ok(whole.memoryBytes > 0 && whole.containers === 1, JSON.stringify(whole));
  });
});

/** A user namespace is asked of containerd 2.x only; it is the handler that the kubelet asks for it. */
criMatrix(
  "CRI's pods with users of their own",
  ({ isControl, isGvisor, isKata, without }) => {
    if (isGvisor || isKata)
      without("a user namespace of the pod's is refused by name", async ({ engine, cri }) => {
        const running = Pod.run(cri, engine, { handler: "own", firstHostId: FIRST_HOST_ID });
        const refusal = isKata
          ? /namespaces\[\d\]\.path .*: a namespace of the host can't be joined/
          : /"user" path: runsc can't join/;
        await assert.rejects(running, refusal);
      });
    else
      without(
        "root inside is nobody outside, in each container, and writes its own rootfs",
        async ({ engine, cri }) => {
          await chmod(engine.dir, 0o711); // as containerd's own folders are: root of the pod is none of the host's
          await using pod = await Pod.run(cri, engine, { handler: "own", firstHostId: FIRST_HOST_ID });
          const script = "echo $(cat /proc/self/uid_map); id -u; touch /f && stat -c %u /f /bin; hostname";
          for (const name of ["one", "two"]) {
            const seen = await say(pod, name, script);
            assert.deepEqual(seen, [`0 ${FIRST_HOST_ID} 65536`, "0", "0", "0", "trimaran-pod"]);
          }
          const box = await pod.start("box", ["sleep", "1000"]);
          assert.equal(
            String((await box.exec(["cat", "/proc/self/gid_map"])).stdout)
              .trim()
              .split(/ +/)[1],
            `${FIRST_HOST_ID}`,
          );
        },
      );

    without(
      "what a handler can do is told where its runtime_type is upstream's, and its path ours",
      async ({ cri }) => {
        const { runtimeHandlers } = await cri.call("Status", { verbose: false });
        const can = new Map(runtimeHandlers.map(({ name, features }) => [name, features?.userNamespaces ?? false]));
        assert.equal(can.get("own"), isControl, "containerd asks no other type");
        if (!isControl) assert.equal(can.get("by-path"), !isGvisor && !isKata);
      },
    );
  },
  { engines: ["2.x"], handlers: () => ({ "by-path": { byPath: true } }) },
);
