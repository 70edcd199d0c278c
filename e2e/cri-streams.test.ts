import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { criMatrix } from "./harness/cri/matrix.ts";
import { type Pod, STATE } from "./harness/cri/pod.ts";
import type { RemoteProcess } from "./harness/cri/streams.ts";
import { PATIENCE } from "./harness/patience.ts";

/** Type until that client has seen something. */
async function until(type: () => void, client: RemoteProcess): Promise<void> {
  for (let at = 0; client.stdout === "" && at < 300; at++) {
    type();
    await delay(50);
  }
  await client.says(/./);
}

/** Ask until the server answers: it may not listen yet, and Debian 12's runsc breaks the first connection where the network is the host's. */
async function fetchByForwarding(pod: Pod): Promise<string> {
  for (const until = Date.now() + 15_000 * PATIENCE; Date.now() < until; await delay(50)) {
    await using port = await pod.forward(8080);
    port.send("GET /f HTTP/1.0\r\n\r\n");
    const { data } = await port.ended();
    if (data !== "") return data;
  }
  return "";
}

/** What `kubectl exec -i`, `attach` and `port-forward` do: CRI answers an address, and the streams go by containerd's streaming server. */
criMatrix(
  "CRI's streams",
  ({ isGvisor, isKata, withPod }) => {
    withPod("exec: stdout and stderr apart, an exit status, input and its end", async (pod) => {
      const box = await pod.start("box", ["sleep", "1000"]);
      {
        await using exec = await box.open(["sh", "-c", "echo out; echo err >&2; exit 3"]);
        assert.equal(await exec.exitStatus(), 3);
        assert.deepEqual([exec.stdout, exec.stderr], ["out\n", "err\n"]);
      }
      {
        await using cat = await box.open(["sh", "-c", "cat; touch /tmp/ended"], { stdin: true });
        cat.type("hello\n");
        await cat.says(/^hello\n$/);
      }
      const seen = await box.exec(["sh", "-c", "until [ -e /tmp/ended ]; do sleep 0.05; done"]);
      assert.equal(seen.exitCode, 0, "the client has gone: end of file on stdin");
    });

    withPod("exec on a terminal: its size, a new size, Ctrl-C", async (pod) => {
      const box = await pod.start("box", ["sleep", "1000"]);
      await using shell = await box.open(["sh"], { stdin: true, terminal: true });
      shell.resize(100, 40);
      shell.type("until stty size | grep '40 100'; do sleep 0.05; done\n");
      await shell.says(/^40 100\r$/m);
      shell.resize(90, 30);
      shell.type("until stty size | grep '30 90'; do sleep 0.05; done\n");
      await shell.says(/^30 90\r$/m);
      shell.type("sh -c 'echo up; sleep 1000'\n"); // said by what is in the foreground already, so Ctrl-C reaches it
      await shell.says(/^up\r$/m);
      shell.type("\x03");
      shell.type("exit 5\n");
      assert.equal(await shell.exitStatus(), 5);
    });

    withPod("attach: two at once see the same, one types, the log has it all, and the end is told", async (pod) => {
      const script = "while read -r line; do echo got $line; [ $line = end ] && exit 6; done; echo eof";
      const box = await pod.start("box", ["sh", "-c", script], { stdin: "open" });
      await using typist = await box.attach({ stdin: true });
      await using reader = await box.attach({ stdin: true });
      await until(() => typist.type("hi\n"), reader); // containerd answers before it has attached
      {
        await using other = await box.attach({ stdin: true });
        await until(() => other.type("ho\n"), other);
      }
      typist.type("end\n"); // stdin is open still
      await Promise.all([typist.exitStatus(), reader.exitStatus()]);
      const { state, exitCode } = await box.exited();
      assert.deepEqual([state, exitCode], [STATE.exited, 6]);
      const log = await box.log();
      assert.deepEqual(new Set(log), new Set(["got hi", "got ho", "got end"]));
      for (const { stdout } of [typist, reader]) {
        const lines = stdout.trimEnd().split("\n");
        assert.deepEqual(lines, log.slice(-lines.length), "from when it came, to the end");
      }
    });

    withPod("attach to stdin that is given once: it ends when the client goes", async (pod) => {
      const box = await pod.start("box", ["sh", "-c", "cat; echo eof"], { stdin: "once" });
      {
        await using client = await box.attach({ stdin: true });
        client.type("hello\n");
        await client.says(/^hello\n$/);
      }
      assert.equal((await box.exited()).exitCode, 0);
      assert.deepEqual(await box.log(), ["hello", "eof"]);
    });

    withPod("attach to a terminal", async (pod) => {
      const box = await pod.start("box", ["sh"], { stdin: "open", terminal: true });
      await using client = await box.attach({ stdin: true, terminal: true });
      client.resize(101, 41);
      client.type("until stty size | grep '41 101'; do sleep 0.05; done\n");
      await client.says(/^41 101\r$/m);
      client.type("exit 4\n");
      assert.equal((await box.exited()).exitCode, 4);
    });

    const server = ["sh", "-c", "echo hello > /tmp/f; httpd -f -p 8080 -h /tmp"];
    if (!isKata)
      withPod(
        "port-forward: a server of the pod's, and a port where nobody listens",
        async (pod) => {
          await pod.start("web", server);
          assert.match(await fetchByForwarding(pod), /^HTTP\/1\.[01] 200 OK\r\n.*\r\n\r\nhello\n$/s);
          await using nobody = await pod.forward(8081);
          assert.match((await nobody.ended()).error, /8081.*(connection )?refused/);
        },
        () => (isGvisor ? { handler: "host" } : {}),
      );
    if (isGvisor || isKata)
      withPod("port-forward to a network stack of the sandbox's own is refused, not left hanging", async (pod) => {
        const web = await pod.start("web", server);
        const ready = ["sh", "-c", "until wget -q -O - http://127.0.0.1:8080/f; do sleep 0.05; done"];
        assert.equal((await web.exec(ready)).exitCode, 0);
        await using port = await pod.forward(8080);
        assert.match((await port.ended()).error, /8080.*(connection )?refused/);
      });
  },
  { handlers: () => ({ host: { flags: 'network = "host"' } }) },
);
