import { access, readFile } from "node:fs/promises";
import { join } from "node:path";
import { StatusError } from "ttrpc-ts";
import { makeFifo } from "../host/program.ts";
import { DRAIN_MS } from "../lab/container.ts";
import { expectEqual, expectError, expectThat, NotOffered } from "../lab/finding.ts";
import { within } from "../lab/patience.ts";
import { streamPath } from "../lab/streams.ts";
import type { Check } from "./check.ts";

const LARGE_BYTES = 8 * 1024 * 1024;

export const STDIO: readonly Check[] = [
  {
    id: "stdio.complete",
    title: "8 MiB on stdout and on stderr at once arrive whole; after Delete the client sees end of file",
    sections: "5.2, 5.4",
    numbers: [53],
    run: async (lab) => {
      const { stdout, stderr, paths } = await lab.output();
      const script = `head -c ${LARGE_BYTES} /dev/zero & head -c ${LARGE_BYTES} /dev/zero >&2; wait`;
      const container = await lab.exited(script, {}, paths);
      await container.remove();
      await Promise.all([stdout.end(lab.limitMs), stderr.end(lab.limitMs)]);
      expectEqual("bytes on stdout, stderr", [stdout.lengthBytes, stderr.lengthBytes], [LARGE_BYTES, LARGE_BYTES]);
    },
  },
  {
    id: "stdio.exec",
    title: "an exec has streams of its own, with end of file after its Delete",
    sections: "5.2, 5.4",
    numbers: [53],
    run: async (lab) => {
      const { stdout, stderr, paths } = await lab.output();
      const container = await lab.running();
      await container.exec("one", "echo out; echo err >&2", paths);
      await container.wait("one");
      await container.task.delete({ id: container.id, execId: "one" });
      const came = [await stdout.end(lab.limitMs), await stderr.end(lab.limitMs)];
      expectEqual("stdout, stderr", came, ["out\n", "err\n"]);
      await container.end();
    },
  },
  {
    id: "stdio.only-stdout",
    title: "one stream may be without a name: stdout goes to its FIFO, stderr nowhere",
    sections: "5.1",
    numbers: [],
    run: async (lab) => {
      const { stdout } = await lab.output();
      const container = await lab.exited("echo out; echo err >&2", {}, { stdout: stdout.path });
      await container.remove();
      expectEqual("stdout", await stdout.end(lab.limitMs), "out\n");
    },
  },
  {
    id: "stdio.only-stderr",
    title: "one stream may be without a name: stderr goes to its FIFO, stdout nowhere",
    sections: "5.1",
    numbers: [],
    run: async (lab) => {
      const { stderr } = await lab.output();
      const container = await lab.exited("echo out; echo err >&2", {}, { stderr: stderr.path });
      await container.remove();
      expectEqual("stderr", await stderr.end(lab.limitMs), "err\n");
    },
  },
  {
    id: "stdio.client-gone",
    title: "a client that is killed in the middle of output ends nothing; a new one reads on",
    sections: "5.2",
    numbers: [54],
    run: async (lab) => {
      const { stdout: first, paths } = await lab.output();
      const script = "i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); sleep 0.01; done; echo the end";
      const container = await lab.running(script, {}, paths);
      await lab.until("the first lines", () => first.text.includes("line 3\n"));
      first[Symbol.dispose]();
      await container.moment(200);
      const second = await lab.readerAgain(first.path);
      expectEqual("exit_status", (await container.wait()).exitStatus, 0);
      await container.remove();
      expectThat(
        "the last line for the new client",
        (await second.end(lab.limitMs)).endsWith("the end\n"),
        second.text.slice(-80),
      );
    },
  },
  {
    id: "stdio.background-child",
    title:
      "a background child that holds stdout delays neither Wait nor, beyond a bound, Delete; then end of file is forced",
    sections: "5.4",
    numbers: [55],
    isSlow: true,
    run: async (lab) => {
      const { stdout, paths } = await lab.output();
      const container = await lab.running();
      await container.exec("one", "sleep 1000 & echo out", paths);
      await within("an answer to Wait", container.wait("one"), 2000);
      const deleted = container.task.delete({ id: container.id, execId: "one" });
      await within("an answer to Delete", deleted, DRAIN_MS);
      expectEqual("stdout", await stdout.end(2000), "out\n");
      await container.end();
    },
  },
  {
    id: "stdio.stdin",
    title: "bytes before CloseIO arrive, and end of file after CloseIO and the client's own end",
    sections: "5.2",
    numbers: [56],
    run: async (lab) => {
      const [stdin, { stdout, paths }] = [await lab.writer(), await lab.output()];
      const container = await lab.running("cat; echo the end", {}, { ...paths, stdin: stdin.path });
      stdin.write("one\ntwo\n");
      await stdin.end();
      await container.task.closeIO({ id: container.id, stdin: true });
      expectEqual("exit_status", (await container.wait()).exitStatus, 0);
      await container.remove();
      expectEqual("stdout", await stdout.end(lab.limitMs), "one\ntwo\nthe end\n");
    },
  },
  {
    id: "stdio.stdin-stays",
    title: "a client that goes away without CloseIO is no end of file: another writes on",
    sections: "5.2",
    numbers: [56],
    run: async (lab) => {
      const [stdin, { stdout, paths }] = [await lab.writer(), await lab.output()];
      const container = await lab.running("exec cat", {}, { ...paths, stdin: stdin.path });
      stdin.write("one\n");
      await stdin.end();
      await lab.until("the first line", () => stdout.text === "one\n");
      await container.moment();
      expectEqual("status", (await container.state()).status, 2);
      await container.end();
    },
  },
  {
    id: "stdio.stdin-unopened",
    title: "a stdin FIFO that no client ever opens blocks neither Create, Start nor Delete",
    sections: "5.2",
    numbers: [57],
    run: async (lab) => {
      const stdin = streamPath(lab.folder, lab.lane.newId(), "stdin");
      await makeFifo(stdin);
      const { paths } = await lab.output();
      const container = await lab.running("exec sleep 1000", {}, { ...paths, stdin });
      await container.end();
    },
  },
  {
    id: "stdio.unread",
    title:
      "a stdout FIFO that no client opens does not block Create for more than 32 s: it fails with words, or the container lives",
    sections: "5.2",
    numbers: [57],
    isSlow: true,
    run: async (lab) => {
      const stdout = streamPath(lab.folder, lab.lane.newId(), "stdout");
      await makeFifo(stdout);
      const container = await lab.shim("exec sleep 1000");
      const { id, bundle, task } = container;
      const limit = { timeoutMs: 32_000 };
      const create = task.create({ id, bundle: bundle.path, rootfs: bundle.mounts, stdout }, limit);
      const isCreated = await create.then(
        () => true,
        (error: unknown) => {
          // upstream gives up, and says so; without words it is our own time limit
          if (error instanceof StatusError && error.message !== "context deadline exceeded") return false;
          throw error;
        },
      );
      if (!isCreated) return;
      await task.start({ id }, limit);
      expectEqual("status", (await container.state()).status, 2);
      await container.end();
    },
  },
  {
    id: "stdio.file",
    title: "file:// appends to a file, which is made with its folders; stderr goes into the same",
    sections: "5.1",
    numbers: [58],
    run: async (lab) => {
      const path = join(lab.folder, lab.lane.newId(), "logs", "out.log");
      const stdio = { stdout: `file://${path}`, stderr: `file://${path}` };
      for (const word of ["first", "second"]) {
        const container = await lab.exited(`echo ${word}; echo ${word} >&2`, {}, stdio);
        await container.remove();
      }
      const words = (await readFile(path, "utf8")).split("\n").sort();
      expectEqual("lines, sorted", words, ["", "first", "first", "second", "second"]);
    },
  },
  {
    id: "stdio.binary",
    title: "binary:// runs a logger: streams on 3 and 4, arguments from the query, two variables, cwd is the bundle",
    sections: "5.3",
    numbers: [58],
    run: async (lab) => {
      const seen = join(lab.folder, `${lab.lane.newId()}.seen`);
      const save = `/usr/bin/env > ${seen}.env; pwd > ${seen}.cwd; echo "$@" > ${seen}.argv`;
      const copy = (fd: number) => `(cat <&${fd} > ${seen}.${fd}; : > ${seen}.${fd}-end) &`;
      const { uri } = await lab.logger(`${save}\nexec 5>&-\n${copy(3)}\n${copy(4)}\nwait`);
      const stdio = { stdout: `${uri}?tag=x`, stderr: `${uri}?tag=x` };
      const container = await lab.exited("echo out; echo err >&2", {}, stdio);
      await container.remove();
      const read = async (name: string) => (await readFile(`${seen}.${name}`, "utf8")).trim();
      for (const fd of [3, 4])
        await lab.until(`end of file on the logger's fd ${fd}`, () =>
          access(`${seen}.${fd}-end`).then(
            () => true,
            () => false,
          ),
        );
      expectEqual("fds 3 and 4", [await read("3"), await read("4")], ["out", "err"]);
      expectEqual("arguments", await read("argv"), "tag x");
      expectEqual("cwd", await read("cwd"), container.bundle.path);
      const names = (await read("env")).split("\n").map((line) => line.split("=")[0] ?? "");
      const own = names.filter((name) => !["PWD", "OLDPWD", "SHLVL", "_"].includes(name)).sort(); // the shell's own
      expectEqual("variables", own, ["CONTAINER_ID", "CONTAINER_NAMESPACE"]);
    },
  },
  {
    id: "stdio.binary-v2",
    title: "binary-v2:// whose logger ends without a ready byte fails Create, and says that ready was missing",
    sections: "5.3",
    numbers: [58],
    run: async (lab) => {
      const { path } = await lab.logger("exit 0");
      const container = await lab.shim("true");
      const { id, bundle, task } = container;
      const stdout = `binary-v2://${path}`;
      const create = task.create({ id, bundle: bundle.path, rootfs: bundle.mounts, stdout, stderr: stdout });
      const error = await expectError("Create", create);
      if (/unknown STDIO scheme/i.test(error.message)) throw new NotOffered(error.message);
      expectThat("the word ready", /ready/.test(error.message), error.message);
      await container.finish();
    },
  },
  {
    id: "stdio.logger-missing",
    title: "a logger that is not there fails Create with its name",
    sections: "5.3",
    numbers: [58],
    run: async (lab) => {
      const container = await lab.shim("true");
      const { id, bundle, task } = container;
      const stdout = "binary:///nowhere/logger";
      const create = task.create({ id, bundle: bundle.path, rootfs: bundle.mounts, stdout, stderr: stdout });
      const error = await expectError("Create", create);
      expectThat("its name", error.message.includes("/nowhere/logger"), error.message);
      await container.finish();
    },
  },
  {
    id: "stdio.unknown-scheme",
    title: "an unknown scheme fails Create with words",
    sections: "5.1",
    numbers: [],
    run: async (lab) => {
      const container = await lab.shim("true");
      const { id, bundle, task } = container;
      const stdout = "nothing:///x";
      const error = await expectError(
        "Create",
        task.create({ id, bundle: bundle.path, rootfs: bundle.mounts, stdout }),
      );
      expectThat("words about the scheme", /scheme|nothing/i.test(error.message), error.message);
      await container.finish();
    },
  },
  {
    id: "stdio.terminal",
    title: "with a terminal there is one pty for stdin and stdout; ResizePty sets its size; its end is end of file",
    sections: "5.3",
    numbers: [59],
    run: async (lab) => {
      const [stdin, { stdout, paths }] = [await lab.writer(), await lab.output()];
      const stdio = { stdin: stdin.path, stdout: paths.stdout, terminal: true };
      const script = "[ -t 0 ] && [ -t 1 ] && echo a terminal; read line; echo got $line; stty size; echo the end";
      const container = await lab.created(script, { terminal: true }, stdio);
      const { id, task } = container;
      await task.resizePty({ id, width: 91, height: 37 });
      await container.start();
      await lab.until(
        "terminals on 0 and 1",
        () => stdout.text.includes("a terminal"),
        () => stdout.text,
      );
      await task.resizePty({ id, width: 93, height: 39 });
      stdin.write("hello\n");
      expectEqual("exit_status", (await container.wait()).exitStatus, 0);
      await container.remove();
      const text = await stdout.end(lab.limitMs);
      for (const part of ["got hello\r\n", "39 93\r\n", "the end\r\n"])
        expectThat(`${JSON.stringify(part)} in the output`, text.includes(part), text);
    },
  },
  {
    id: "stdio.exec-terminal",
    title: "an exec has a terminal of its own, with the size that ResizePty gives it",
    sections: "5.3",
    numbers: [59],
    run: async (lab) => {
      const [stdin, { stdout, paths }] = [await lab.writer(), await lab.output()];
      const container = await lab.running();
      const stdio = { stdin: stdin.path, stdout: paths.stdout, terminal: true };
      await container.exec("one", "read line; stty size", stdio);
      await container.task.resizePty({ id: container.id, execId: "one", width: 71, height: 23 });
      stdin.write("\n");
      await container.wait("one");
      await container.task.delete({ id: container.id, execId: "one" });
      const text = await stdout.end(lab.limitMs);
      expectThat("23 71 in the output", text.includes("23 71"), text);
      await container.end();
    },
  },
];
