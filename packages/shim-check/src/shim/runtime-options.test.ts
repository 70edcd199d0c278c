import assert from "node:assert/strict";
import { test } from "node:test";
import { containerd, runtimeoptions } from "@trimaran/proto";
import { parseRuntimeOptions } from "./runtime-options.ts";

test("options have a type and the fields of its protobuf file", () => {
  const runc = parseRuntimeOptions('containerd.runc.v1.Options={"binary_name":"crun","systemd_cgroup":true}');
  assert.equal(runc.typeUrl, "containerd.runc.v1.Options");
  const { binaryName, systemdCgroup } = containerd.runc.v1.Options.decode(runc.value);
  assert.deepEqual([binaryName, systemdCgroup], ["crun", true]);
  const generic = parseRuntimeOptions('runtimeoptions.v1.Options={"config_path":"/a.toml","config_body":"x = 1"}');
  const { configPath, configBody } = runtimeoptions.v1.Options.decode(generic.value);
  assert.deepEqual([configPath, Buffer.from(configBody).toString()], ["/a.toml", "x = 1"]);
});

test("what is none of them is refused by its name", () => {
  const refused = (text: string, words: RegExp) => assert.throws(() => parseRuntimeOptions(text), words);
  refused("a.b.Options={}", /options "a.b.Options": not TYPE=JSON with one of containerd.runc.v1.Options/);
  refused("{}", /not TYPE=JSON/);
  refused('containerd.runc.v1.Options={"binary":"crun"}', /containerd.runc.v1.Options has no field "binary"/);
  refused("containerd.runc.v1.Options=[]", /not a JSON object/);
  refused("containerd.runc.v1.Options={", /not a JSON object/);
});
