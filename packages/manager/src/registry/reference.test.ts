import assert from "node:assert/strict";
import { test } from "node:test";
import { Code } from "../errors/manager-error.ts";
import { formatReference, manifestName, parseReference } from "./reference.ts";

const DIGEST = `sha256:${"a".repeat(64)}`;

test("short names are Docker Hub's, with the tag latest; a host is told by dot, colon or localhost", () => {
  const cases = [
    ["busybox", "docker.io/library/busybox:latest"],
    ["busybox:1.36", "docker.io/library/busybox:1.36"],
    ["me/app", "docker.io/me/app:latest"],
    ["index.docker.io/busybox", "docker.io/library/busybox:latest"],
    ["localhost/app", "localhost/app:latest"],
    ["127.0.0.1:5000/a/b:t", "127.0.0.1:5000/a/b:t"],
    ["[::1]:5000/a", "[::1]:5000/a:latest"],
    ["ghcr.io/a/b__c/d--e.f:V1", "ghcr.io/a/b__c/d--e.f:V1"],
    [`busybox@${DIGEST}`, `docker.io/library/busybox@${DIGEST}`],
    [`quay.io/a/b:t@${DIGEST}`, `quay.io/a/b:t@${DIGEST}`],
  ] as const;
  for (const [text, full] of cases) {
    assert.equal(formatReference(parseReference(text)), full);
    assert.equal(formatReference(parseReference(full)), full);
  }
  assert.equal(manifestName(parseReference(`a:t@${DIGEST}`)), DIGEST);
});

test("what is no name is refused with the part that is wrong", () => {
  const cases: [string, RegExp][] = [
    ["", /"library\/"|""/],
    ["a:", /"" is not a tag/],
    ["a:-x", /"-x" is not a tag/],
    [`a:${"t".repeat(129)}`, /is not a tag/],
    ["Upper/case", /"Upper\/case" is not a repository/],
    ["a//b", /is not a repository/],
    ["a/../b", /is not a repository/],
    ["a.b/", /is not a repository/],
    ["a@sha256:12", /"sha256:12" is not a digest/],
    [`a@${DIGEST}@${DIGEST}`, /more than one/],
    ["-a.b/c", /"-a.b" is not a host/],
    ["a.b:port/c", /is not a host/],
    ["user:secret@host.x/a", /not a digest/],
    ["x".repeat(5000), /longer than/],
    ["a?b", /is not a repository/],
    ["a b", /is not a repository/],
  ];
  for (const [text, message] of cases) {
    assert.throws(() => parseReference(text), { code: Code.InvalidArgument, message }, text);
  }
});
