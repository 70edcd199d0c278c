/** What must not be told: a value of the environment, an argument, in any error or log of a run that fails in many ways. */
import assert from "node:assert/strict";
import { globSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { invoke, Shim } from "@trimaran/shim-check";
import { StatusError } from "ttrpc-ts";
import { readConfig } from "../../packages/shim-kata/src/container/bundle-config.ts";
import { toGuestSpec } from "../../packages/shim-kata/src/storage/guest-spec.ts";
import { planVolumes } from "../../packages/shim-kata/src/storage/volumes.ts";
import { ociProcess } from "../harness/bundle.ts";
import { gvisorKinds, ShimYard, trimaranShim } from "../harness/shims.ts";
import { AttackBed } from "./bed/bed.ts";
import { baseConfig, bind, type Config, mount } from "./bed/config.ts";

const SECRET = "hunter2-do-not-tell";
/** Parts of it, too: an engine that quotes where JSON ends shows ten characters. */
const TOLD = /hunt|not-tell/;
const PROCESS = "types.containerd.io/opencontainers/runtime-spec/1/Process";

/** Ways in which a container with a secret fails. `text`: what becomes of config.json. */
const FAILURES: Readonly<Record<string, { change?: (config: Config) => unknown; text?: (json: string) => string }>> = {
  "a program that is missing": { change: ({ process }) => Object.assign(process, { args: ["nonesuch", SECRET] }) },
  "a directory that is missing": { change: ({ process }) => Object.assign(process, { cwd: "/bin/sh" }) },
  "a mount that is missing": { change: ({ mounts }) => mounts.push(bind("/no/such", "/mnt")) },
  "a password among a mount's options": {
    change: ({ mounts }) => mounts.push(mount("/mnt", "tmpfs", `password=${SECRET}`)),
  },
  "a NUL in the environment": { change: ({ process }) => process.env.push(`A=${SECRET}\0`) },
  "no equals sign": { change: ({ process }) => process.env.push(SECRET) },
  "an object in the environment": { change: ({ process }) => process.env.push({ TOKEN: SECRET } as never) },
  "an environment that is a string": { change: ({ process }) => Object.assign(process, { env: `TOKEN=${SECRET}` }) },
  "an environment that is an object": { change: ({ process }) => Object.assign(process, { env: { TOKEN: SECRET } }) },
  "a NUL in an argument": { change: ({ process }) => process.args.push(`${SECRET}\0`) },
  "arguments that are a string": { change: ({ process }) => Object.assign(process, { args: SECRET }) },
  "a process that is a list": { change: (config) => Object.assign(config, { process: [SECRET] }) },
  "an annotation that is no string": { change: ({ annotations }) => Object.assign(annotations, { token: [SECRET] }) },
  "a hook's environment": {
    change: (config) => Object.assign(config, { hooks: { prestart: [{ path: "/nonesuch", env: [`A=${SECRET}`] }] } }),
  },
  "a hook's environment with a NUL": {
    change: (config) => Object.assign(config, { hooks: { prestart: [{ path: "/x", env: [`A=${SECRET}\0`] }] } }),
  },
  "an id that is none": { change: ({ process }) => Object.assign(process.user, { uid: 2 ** 33 }) },
  "JSON that is cut": { text: (json) => json.slice(0, json.indexOf(SECRET) + SECRET.length) },
  "JSON with a stray byte": { text: (json) => json.replace(SECRET, `${SECRET}" x `) },
  "no JSON at all": { text: () => `TOKEN=${SECRET}` },
};

function configText({ change, text }: (typeof FAILURES)[string], config: Config): string {
  config.process.env.push(`TOKEN=${SECRET}`);
  change?.(config);
  const json = JSON.stringify(config);
  return text === undefined ? json : text(json);
}

for (const [name, failure] of Object.entries(FAILURES)) {
  test(`trimaran-oci: ${name}`, async () => {
    await using bed = new AttackBed();
    writeFileSync(join(bed.bundle, "config.json"), configText(failure, baseConfig(["true"])));
    const log = join(bed.folder, "log");
    const { code, stdout, stderr } = await bed.oci(["--log", log, "--debug", "run", bed.id]);
    assert.notEqual(code, 0);
    assert.notEqual(stderr, "", "it says why");
    assert.doesNotMatch(`${stdout}${stderr}${readFileSync(log, "utf8")}`, TOLD);
  });
}

test("trimaran-oci exec: a wrong --env, a wrong process", async () => {
  await using bed = new AttackBed();
  await using _ = await bed.start(baseConfig(["sleep", "1000"]));
  const file = join(bed.folder, "process.json");
  writeFileSync(file, `{"args":["true"],"cwd":"/","env":["A=${SECRET}" x]}`);
  for (const words of [
    ["--env", SECRET, bed.id, "true"],
    ["--process", file, bed.id],
    [bed.id, "nonesuch", SECRET],
  ]) {
    const { code, stderr } = await bed.oci(["exec", ...words]);
    assert.notEqual(code, 0);
    assert.doesNotMatch(stderr, TOLD);
  }
});

let yard: ShimYard;
before(async () => {
  const path = "/usr/sbin:/usr/bin:/sbin:/bin";
  yard = await ShimYard.open({ name: "trimaran", binary: trimaranShim(), style: "2.1", isControl: false, path });
});
after(() => yard[Symbol.asyncDispose]());

/** Everything that a yard's processes have written into files. */
function written({ trimaranState }: ShimYard): string {
  const files = globSync("**/*.log*", { cwd: trimaranState }).map((name) => join(trimaranState, name));
  const regular = files.filter((path) => statSync(path).isFile());
  assert.ok(regular.length > 0, "there is a log");
  return regular.map((path) => readFileSync(path, "utf8")).join("\n");
}

test("the shim: the same failures, its answers and its log", { timeout: 120_000 }, async () => {
  for (const [name, failure] of Object.entries(FAILURES)) {
    const { options, bundle } = await yard.prepare(["true"]);
    const config = JSON.parse(readFileSync(join(bundle.path, "config.json"), "utf8")) as Config;
    writeFileSync(join(bundle.path, "config.json"), configText(failure, { ...config, annotations: {} }));
    const started = await invoke({ ...options, debug: true }, "start");
    const said = `${started.stdout}${started.stderr}`;
    assert.doesNotMatch(said, TOLD, name);
  }
  assert.doesNotMatch(written(yard), TOLD);
});

test("the shim: Create and Exec that fail", { timeout: 120_000 }, async () => {
  const answers: string[] = [];
  const failing = async (name: string, what: Promise<unknown>) => {
    const error = await what.then(
      () => assert.fail(`${name} has to fail`),
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof StatusError, String(error));
    answers.push(error.message);
  };
  for (const [name, failure] of Object.entries(FAILURES)) {
    const { bundle, shim, create } = await yard.start(["true"]);
    const config = JSON.parse(readFileSync(join(bundle.path, "config.json"), "utf8")) as Config;
    writeFileSync(join(bundle.path, "config.json"), configText(failure, { ...config, annotations: {} }));
    await failing(name, create());
    await shim.close();
  }
  const { shim, id, create } = await yard.start(["sleep", "1000"]);
  await create();
  await shim.task.start({ id });
  const env = [`TOKEN=${SECRET}`];
  const changes = [{ args: ["nonesuch", SECRET] }, { cwd: "/bin/sh" }, { env: [`${SECRET}\0`] }, { env: SECRET }];
  const processes = changes.map((change) => JSON.stringify({ ...ociProcess(["true"]), env, ...change }));
  for (const process of [...processes, `{"env":["${SECRET}" x]}`]) {
    const spec = { typeUrl: PROCESS, value: Buffer.from(process) };
    const execId = `e${answers.length}`;
    const run = async () => {
      await shim.task.exec({ id, execId, spec });
      await shim.task.start({ id, execId });
    };
    await failing(execId, run());
  }
  await shim.close();
  assert.doesNotMatch(answers.join("\n"), TOLD);
  assert.doesNotMatch(written(yard), TOLD);
});

/** Those that reach runsc, and those that our own parser refuses. */
const FOR_RUNSC = [
  "a program that is missing",
  "a directory that is missing",
  "a password among a mount's options",
  "an object in the environment",
  "arguments that are a string",
  "JSON that is cut",
];

for (const kind of await gvisorKinds())
  test(`${kind.name}, with -debug: containers that fail; answers, logs, and runsc's own files`, {
    timeout: 120_000,
  }, async () => {
    await using gvisor = await ShimYard.open(kind);
    const answers: string[] = [];
    const failing = async (what: Promise<unknown>) => {
      const error = await what.then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      if (error !== undefined) answers.push(String(error));
    };
    for (const name of FOR_RUNSC) {
      const { options, bundle } = await gvisor.prepare(["true"]);
      const shim = await Shim.start({ ...options, debug: true });
      const path = join(bundle.path, "config.json");
      const config = JSON.parse(readFileSync(path, "utf8")) as Config;
      writeFileSync(path, configText(FAILURES[name] ?? {}, { ...config, annotations: {} }));
      await failing(shim.task.create({ id: bundle.id, bundle: bundle.path, rootfs: bundle.mounts }));
      await failing(shim.task.start({ id: bundle.id }));
      const own = globSync("runsc/*.{log,err,out}", { cwd: bundle.path }).map((file) => join(bundle.path, file));
      answers.push(...own.map((file) => readFileSync(file, "utf8")));
      await shim.close();
    }
    assert.ok(answers.length >= FOR_RUNSC.length, "they fail");
    assert.doesNotMatch(answers.join("\n"), TOLD);
    assert.doesNotMatch(written(gvisor), TOLD);
  });

test("shim-kata: what it reads of a spec, and makes of it for the guest", () => {
  const folder = mkdtempSync(join(tmpdir(), "attack-secrets-"));
  try {
    let refused = 0;
    for (const [name, failure] of Object.entries(FAILURES)) {
      writeFileSync(join(folder, "config.json"), configText(failure, baseConfig(["true"])));
      try {
        const { spec, json } = readConfig(folder);
        toGuestSpec(json, { id: "web", disks: [], volumes: planVolumes(spec.mounts) });
      } catch (error) {
        refused++;
        assert.doesNotMatch(String(error), TOLD, name);
      }
    }
    assert.ok(refused > 5);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
