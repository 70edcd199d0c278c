import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readlink } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { parentOf } from "./harness/belongings.ts";
import { criMatrix } from "./harness/cri/matrix.ts";
import { Pod, STATE } from "./harness/cri/pod.ts";
import { PATIENCE } from "./harness/patience.ts";

const NAMES = ["ipc", "uts", "net", "pid", "mnt"] as const;
/** Inode numbers of namespaces, one a line. */
const INODES = NAMES.map((name) => `readlink /proc/self/ns/${name}`).join("; ");

/** Pods that the shim keeps and not containerd: `sandboxer = "shim"`. Upstream's own shim of Debian's 2.1 has no such pods. */
criMatrix(
  'CRI\'s pods by the sandboxer "shim"',
  ({ isControl, isGvisor, isKata, withPod, without }) => {
    if (isControl || isGvisor) {
      without("refused, by name", async ({ engine, cri }) => {
        const refusal = isControl ? /config\.json: no such file/ : /this runtime keeps no sandboxes: not implemented/;
        await assert.rejects(Pod.run(cri, engine, { handler: "shim" }), refusal);
      });
      return;
    }
    const options = () => ({ handler: "shim" });

    withPod(
      "two containers: one network, a hostname of their own, logs, exit statuses, exec, port-forward, stop",
      async (pod) => {
        const job = await pod.start("job", ["sh", "-c", "hostname; echo e >&2; exit 7"]);
        const { state, exitCode } = await job.exited(30_000);
        assert.deepEqual([state, exitCode], [STATE.exited, 7]);
        assert.deepEqual([await job.log(), await job.log("stderr")], [["trimaran-pod"], ["e"]]);
        const web = await pod.start("web", ["sh", "-c", "echo hello > /tmp/f; exec httpd -f -p 8080 -h /tmp"]);
        const client = await pod.start("client", ["sleep", "1000"]);
        const fetch = "until wget -q -O - http://127.0.0.1:8080/f; do sleep 0.1; done";
        assert.equal(String((await client.exec(["sh", "-c", fetch])).stdout), "hello\n");
        assert.match(await pod.address(), /^10\.203\.0\./);
        assert.ok((await web.stats()).memoryBytes > 0);
        if (!isKata) {
          await using port = await pod.forward(8080); // the client has had its answer: it listens
          port.send("GET /f HTTP/1.0\r\n\r\n");
          assert.match((await port.ended()).data, /hello\n$/);
        }
        await client.stop(0);
        assert.equal((await client.status()).exitCode, 137);
        await pod.stop();
        assert.equal((await web.status()).state, STATE.exited);
      },
      options,
    );

    withPod(
      "the monitor is killed: its containers go with it; containerd, which asks it for ever, can remove the pod once it was restarted",
      async (pod, { engine, cri }) => {
        const box = await pod.start("box", ["sleep", "1000"]);
        const tasks = await engine.ctrOk("--namespace", "k8s.io", "task", "ls");
        const pid = Number(new RegExp(`^${box.id} +(\\d+) `, "m").exec(tasks)?.[1]);
        process.kill(await parentOf(pid), "SIGKILL");
        for (const until = Date.now() + 15_000 * PATIENCE; existsSync(`/proc/${pid}`); await delay(20))
          assert.ok(Date.now() < until, `process ${pid} of the container lives on`);
        await engine.restart();
        await cri.ready();
      },
      options,
    );

    if (isKata) return; // it has a kernel of its own
    for (const sharesProcesses of [false, true])
      withPod(
        `namespaces: ${sharesProcesses ? "processes are shared" : "each has its own processes"}, nothing is the host's`,
        async (pod) => {
          const script = `echo up; ${INODES}; echo $(cat /proc/net/dev | wc -l); exec sleep 1000`;
          const [one, two] = [
            await pod.start("one", ["sh", "-c", script]),
            await pod.start("two", ["sh", "-c", script]),
          ];
          for (const box of [one, two])
            while ((await box.log()).length < NAMES.length + 2) await new Promise(setImmediate);
          const [first = [], second = []] = [await one.log(), await two.log()];
          const host = await Promise.all(NAMES.map((name) => readlink(`/proc/self/ns/${name}`)));
          const isSame = NAMES.map((_, at) => first[at + 1] === second[at + 1]);
          assert.deepEqual(isSame, [true, true, true, sharesProcesses, false], `${first} ${second}`);
          for (const [at, name] of NAMES.entries()) assert.notEqual(first[at + 1], host[at], name);
          if (!sharesProcesses) return;
          const orphan = "(sleep 0.1 &); sleep 0.5; cat /proc/[0-9]*/status | grep -c '^State:.Z'";
          assert.equal(String((await two.exec(["sh", "-c", orphan])).stdout), "0\n", "the dead are buried");
        },
        () => ({ handler: "shim", sharesProcesses }),
      );

    withPod(
      "containerd and task servers are killed meanwhile, all is found again",
      async (pod, { engine, cri }) => {
        const box = await pod.start("box", ["sleep", "1000"]);
        for (const pid of await engine.taskServerPids()) process.kill(pid, "SIGKILL");
        await engine.restart();
        await cri.ready();
        assert.equal((await box.status()).state, STATE.running);
        assert.equal(String((await box.exec(["hostname"])).stdout), "trimaran-pod\n");
        const again = await pod.start("again", ["hostname"]);
        await again.exited();
        assert.deepEqual(await again.log(), ["trimaran-pod"]);
      },
      options,
    );

    without("users of its own are refused by field", async ({ engine, cri }) => {
      const running = Pod.run(cri, engine, { handler: "shim", firstHostId: 65_536 * 7 });
      await assert.rejects(running, /userns_options: only with the sandboxer "podsandbox"/);
    });
  },
  { engines: ["2.x"], handlers: () => ({ shim: { sandboxer: "shim" } }) },
);
