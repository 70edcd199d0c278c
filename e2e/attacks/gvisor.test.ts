/** shim-gvisor: what runsc's processes may on the host, annotations that reach for it, and a container whose words get into runsc's log. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { ANY, runtimeoptions } from "@trimaran/proto";
import { StatusError } from "ttrpc-ts";
import { type BundleOptions, ociProcess } from "../harness/bundle.ts";
import { commandOf, descendantsOf, privilegesOf } from "../harness/privileges.ts";
import { gvisorKinds, ShimYard } from "../harness/shims.ts";
import { Flipper } from "./bed/flipper.ts";

const PROCESS = "types.containerd.io/opencontainers/runtime-spec/1/Process";
const SECRET = "the host's secret\n";
/** What runsc's processes have open: their own things, the container's files as they have mounted them, and files of the bundle. */
const OWN_FILES =
  /^(anon_inode|pipe|socket|\/memfd|\/dev\/null$|\/root(\/|$)|\/proc\/1\/fd$|\/\.gvisor\.filestore|\/(bin|dev|etc|proc|run|sys|tmp|usr)(\/|$)|\/$)/;

for (const kind of await gvisorKinds()) {
  describe(kind.name, { timeout: 240_000 }, () => {
    let yard: ShimYard;
    let canary: string;
    before(async () => {
      yard = await ShimYard.open(kind);
      canary = join(yard.containerd.dir, "canary");
      mkdirSync(canary);
      writeFileSync(join(canary, "secret"), SECRET);
    });
    after(() => yard[Symbol.asyncDispose]());

    /** A container; `output` is what it has written to stdout by now. */
    async function start(args: readonly string[], more: Partial<BundleOptions> = {}, toml = "") {
      const pod = await yard.start(args, more);
      const { id, bundle, shim } = pod;
      const file = join(yard.containerd.dir, `${id}.out`);
      const value = runtimeoptions.v1.Options.encode({ configBody: Buffer.from(toml) });
      const options = toml === "" ? {} : { options: { typeUrl: ANY.runtimeOptions, value } };
      const request = { id, bundle: bundle.path, rootfs: bundle.mounts, stdout: `file://${file}`, ...options };
      const { pid } = await shim.task.create(request);
      await shim.task.start({ id });
      return { ...pod, pid, output: () => readFileSync(file, "utf8") };
    }

    test("the sandbox and its gofer: a filter, no new privileges, no environment, namespaces of their own, nothing of the host open", async () => {
      const { pid, id, shim, bundle } = await start(["sleep", "1000"]);
      const monitor = Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
      const below = descendantsOf(monitor).filter((each) => commandOf(each).startsWith("runsc-"));
      assert.ok(below.length >= 2, "the sandbox, the gofer");
      for (const each of below) {
        const { noNewPrivileges, seccomp, environment, namespaces, files, uid } = privilegesOf(each);
        const command = commandOf(each).slice(0, 20);
        assert.deepEqual([noNewPrivileges, seccomp], [true, 2], command);
        assert.ok(
          environment.every((name) => ["PATH", "HOME"].includes(name)),
          `${command}: ${environment}`,
        );
        for (const own of ["ipc", "mnt", "net", "uts"]) assert.ok(namespaces.includes(own), `${command}: ${own}`);
        if (each === pid) assert.ok(uid === 65534 || namespaces.includes("user"), command);
        const foreign = files.filter((path) => !OWN_FILES.test(path) && !path.startsWith(`${bundle.path}/`));
        assert.deepEqual(foreign, [], command);
      }
      await shim.task.kill({ id, signal: 9 });
    });

    test("an annotation that sets runsc's flags does nothing, unless the operator lets it", async () => {
      const annotations = { "dev.gvisor.flag.debug": "true", "dev.gvisor.flag.debug-log": `${canary}/planted/` };
      const planted = () => readdirSync(canary).includes("planted");
      await start(["true"], { annotations }).catch((error: unknown) => assert.ok(error instanceof StatusError));
      assert.equal(planted(), false);
      await start(["true"], { annotations }, "[runsc_config]\nallow-flag-override = true\n");
      assert.ok(planted(), "the control");
    });

    test("a container's words in runsc's log are no lines of it", async () => {
      const { id, shim } = await start(["sleep", "1000"]);
      const hostile = '/nope"}\n{"level":"fatal","msg":"forged"}\n{"level":"error","msg":"forged';
      const spec = { typeUrl: PROCESS, value: Buffer.from(JSON.stringify(ociProcess([hostile]))) };
      await shim.task.exec({ id, execId: "e", spec });
      const error = await shim.task.start({ id, execId: "e" }).catch((thrown: unknown) => thrown);
      assert.ok(error instanceof StatusError, "it fails");
      assert.match(error.message, /^runsc exec: /);
      assert.doesNotMatch(error.message, /\n|^runsc exec: forged/);
      await shim.task.kill({ id, signal: 9 });
    });

    test("a container that does what runsc warns about, again and again, fills no file of the host's", async () => {
      const script = "i=0; while [ $i -lt 40 ]; do mount -t nope x /mnt; i=$((i+1)); done 2>/dev/null; echo done";
      const { id, shim, bundle, output } = await start(["sh", "-c", script]);
      await shim.task.wait({ id });
      assert.equal(output(), "done\n");
      const work = join(bundle.path, "runsc");
      const bytes = readdirSync(work).map((name) => statSync(join(work, name)).size);
      assert.ok(bytes.reduce((sum, each) => sum + each, 0) < 8 << 10, String(bytes));
    });

    test("links in a volume, one of them racing: what is read is the sandbox's, never the host's", async () => {
      const volume = join(yard.containerd.dir, "volume");
      mkdirSync(join(volume, "dir"), { recursive: true });
      writeFileSync(join(volume, "dir/secret"), "own\n");
      symlinkSync(canary, join(volume, "link"));
      const mounts = [{ destination: "/mnt", type: "bind", source: volume, options: ["rbind"] }];
      const script =
        "i=0; while [ $i -lt 1500 ]; do read line < /mnt/dir/secret && echo $line; i=$((i+1)); done 2>/dev/null";
      await using _ = new Flipper([[join(volume, "dir"), join(volume, "link")]]);
      const { id, shim, output } = await start(["sh", "-c", script], { mounts });
      const onHost = new Set<string>();
      for (let i = 0; i < 1000; i++) onHost.add(readFileSync(join(volume, "dir/secret"), "utf8"));
      assert.ok(onHost.has(SECRET), "the control: who walks by the path on the host loses");
      await shim.task.wait({ id });
      assert.deepEqual([...new Set(output().split("\n"))].sort(), ["", "own"]);
    });
  });
}
