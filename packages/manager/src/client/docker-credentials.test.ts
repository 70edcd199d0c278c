import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { dockerCredentials } from "./docker-credentials.ts";

const { signal } = new AbortController();
const ask = (directory: string, host: string) =>
  dockerCredentials(directory)({ host, reference: `${host}/a`, challenges: [] }, signal);

test("what docker login has left, by host; Docker Hub has a name of its own", async () => {
  using directory = temporaryDirectory();
  assert.equal(await ask(directory.path, "example.org"), undefined);
  const auth = Buffer.from("bob:a:b").toString("base64");
  const auths = { "example.org:5000": { auth }, "https://index.docker.io/v1/": { identitytoken: "t" } };
  writeFileSync(join(directory.path, "config.json"), JSON.stringify({ auths, credsStore: "x" }));
  assert.deepEqual(await ask(directory.path, "example.org:5000"), { kind: "password", username: "bob", secret: "a:b" });
  assert.deepEqual(await ask(directory.path, "registry-1.docker.io"), { kind: "refresh", token: "t" });
  assert.equal(await ask(directory.path, "example.org"), undefined);
});

test("a broken file is named, its content is not", async () => {
  using directory = temporaryDirectory();
  writeFileSync(join(directory.path, "config.json"), '{"auths": {"h": "c2VjcmV0"}}');
  await assert.rejects(
    ask(directory.path, "h"),
    ({ message }) => !message.includes("c2VjcmV0") && /auths\["h"\]/.test(message),
  );
});
