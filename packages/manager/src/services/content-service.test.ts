import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { containerd, type Init } from "@trimaran/proto";
import { digestOf } from "../content/digest.ts";
import { Code, hasCode } from "../errors/manager-error.ts";
import { openTestContent, type TestContent } from "../testing/test-content.ts";

type WriteRequest = Init<containerd.services.content.v1.WriteContentRequest>;
type WriteAnswer = containerd.services.content.v1.WriteContentResponse;

const { STAT, WRITE, COMMIT } = containerd.services.content.v1.WriteAction;
const HELLO = Buffer.from("hello world");
const DIGEST = digestOf(HELLO);

async function open(t: TestContext): Promise<TestContent> {
  const content = await openTestContent();
  t.after(() => content[Symbol.asyncDispose]());
  return content;
}

/** A Write call that sends when the test says so. */
class WriteCall {
  readonly #requests: PromiseWithResolvers<WriteRequest | undefined>[] = [Promise.withResolvers()];
  readonly #answers: AsyncIterator<WriteAnswer>;

  constructor(content: TestContent, options: { readonly namespace?: string; readonly lease?: string } = {}) {
    const { namespace = "default", lease } = options;
    const call = content.client(namespace).write(this.#source(), { lease });
    this.#answers = call[Symbol.asyncIterator]();
  }

  /** The answer; fails if the call ends without one. */
  async send(request: WriteRequest): Promise<WriteAnswer> {
    this.#push(request);
    const answer = await this.#answers.next();
    assert.equal(answer.done, false, "the call has ended");
    return answer.value;
  }

  /** Half-close; the call must end. */
  async end(): Promise<void> {
    this.#push(undefined);
    assert.equal((await this.#answers.next()).done, true);
  }

  /** Give the call up, as leaving a loop over its answers does. */
  async cancel(): Promise<void> {
    await this.#answers.return?.();
  }

  #push(request: WriteRequest | undefined): void {
    this.#requests.at(-1)?.resolve(request);
    this.#requests.push(Promise.withResolvers());
  }

  async *#source(): AsyncGenerator<WriteRequest> {
    for (let index = 0; ; index++) {
      const request = await this.#requests[index]?.promise;
      if (request === undefined) return;
      yield request;
    }
  }
}

async function ingest(
  content: TestContent,
  data: Uint8Array,
  options: { readonly namespace?: string; readonly lease?: string; readonly labels?: Record<string, string> } = {},
): Promise<void> {
  const call = new WriteCall(content, options);
  await call.send({ action: STAT, ref: "r" });
  await call.send({ action: COMMIT, data, labels: options.labels ?? {} });
  await call.end();
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** Try until the writer before has gone, as clients do. */
async function sendWhenFree(content: TestContent, request: WriteRequest): Promise<[WriteCall, WriteAnswer]> {
  for (;;) {
    const call = new WriteCall(content);
    try {
      return [call, await call.send(request)];
    } catch (error) {
      if (!hasCode(error, Code.Unavailable)) throw error;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

test("a blob goes in with labels and events, and comes out", async (t) => {
  const content = await open(t);
  const call = new WriteCall(content);
  const stat = await call.send({ action: STAT, ref: "r", total: 11n, expected: DIGEST });
  assert.deepEqual([stat.offset, stat.total, stat.digest], [0n, 11n, digestOf("")]);
  assert.ok(stat.startedAt !== undefined && stat.updatedAt !== undefined);
  const written = await call.send({ action: WRITE, data: HELLO.subarray(0, 5) });
  assert.deepEqual([written.action, written.offset], [WRITE, 5n]);
  assert.equal((await call.send({ action: STAT })).digest, digestOf("hello"));
  await call.send({ action: WRITE, offset: 5n, data: HELLO.subarray(5) });
  const commit = await call.send({
    action: COMMIT,
    offset: 11n,
    total: 11n,
    expected: DIGEST,
    labels: { a: "1", dropped: "" },
  });
  assert.deepEqual([commit.action, commit.offset, commit.digest], [COMMIT, 11n, DIGEST]);
  await call.end();
  const { info } = await content.client().info({ digest: DIGEST });
  assert.deepEqual([info?.digest, info?.size, info?.labels], [DIGEST, 11n, { a: "1" }]);
  assert.deepEqual(info?.createdAt, info?.updatedAt);
  assert.deepEqual((await content.client().listStatuses({})).statuses, []);
  await content.client().delete({ digest: DIGEST });
  await assert.rejects(content.client().info({ digest: DIGEST }), { code: Code.NotFound });
  await assert.rejects(content.client().delete({ digest: DIGEST }), { code: Code.NotFound });
  assert.deepEqual(content.topics(), ["default /content/create", "default /content/delete"]);
  assert.equal(content.deletions(), 1);
});

test("an interrupted write is 5 bytes long for everybody, and the rest completes it", async (t) => {
  const content = await open(t);
  const call = new WriteCall(content);
  await call.send({ action: WRITE, ref: "r", total: 11n, data: HELLO.subarray(0, 5) });
  assert.equal((await content.client().status({ ref: "r" })).status?.offset, 5n);
  await call.cancel();
  const [second, stat] = await sendWhenFree(content, { action: STAT, ref: "r", total: 11n });
  assert.deepEqual([stat.offset, stat.digest], [5n, digestOf("hello")]);
  const { status } = await content.client().status({ ref: "r" });
  assert.deepEqual([status?.offset, status?.total, status?.ref], [5n, 11n, "r"]);
  await second.send({ action: WRITE, offset: 5n, data: HELLO.subarray(5) });
  assert.equal((await second.send({ action: COMMIT, offset: 11n })).digest, DIGEST);
  await second.end();
});

test("the first message names the ref, and needs no STAT", async (t) => {
  const content = await open(t);
  await assert.rejects(new WriteCall(content).send({ action: STAT }), { code: Code.InvalidArgument, message: /ref/ });
  const call = new WriteCall(content);
  await call.end();
  await assert.rejects(new WriteCall(content, { namespace: "" }).send({ ref: "r" }), { code: Code.FailedPrecondition });
  await assert.rejects(new WriteCall(content, { namespace: "a/b" }).send({ ref: "r" }), { code: Code.InvalidArgument });
  await assert.rejects(new WriteCall(content).send({ ref: "bad", action: 7 }), { code: Code.InvalidArgument });
  for (const bad of [{ expected: "md5:1" }, { total: -1n }]) {
    await assert.rejects(new WriteCall(content).send({ ref: "worse", ...bad }), { code: Code.InvalidArgument });
  }
  await assert.rejects(content.client().status({ ref: "worse" }), { code: Code.NotFound });
  await new WriteCall(content).send({ action: COMMIT, ref: "r", data: HELLO });
  assert.equal((await content.client().info({ digest: DIGEST })).info?.size, 11n);
});

test("a second stream on a ref is Unavailable until the first has gone; other namespaces do not mind", async (t) => {
  const content = await open(t);
  const first = new WriteCall(content);
  await first.send({ action: WRITE, ref: "r", data: HELLO });
  await assert.rejects(new WriteCall(content).send({ ref: "r" }), { code: Code.Unavailable, message: /locked/ });
  const elsewhere = new WriteCall(content, { namespace: "other" });
  assert.equal((await elsewhere.send({ ref: "r" })).offset, 0n);
  await first.end();
  const [second, stat] = await sendWhenFree(content, { ref: "r" });
  assert.equal(stat.offset, 11n);
  await second.end();
  await elsewhere.end();
});

test("a wrong offset is OutOfRange and changes nothing, offset 0 starts over", async (t) => {
  const content = await open(t);
  for (const action of [WRITE, COMMIT]) {
    const call = new WriteCall(content);
    await call.send({ action: WRITE, ref: `r${action}`, data: HELLO });
    await assert.rejects(call.send({ action, offset: 5n, data: HELLO }), { code: Code.OutOfRange });
    const [next, stat] = await sendWhenFree(content, { action: STAT, ref: `r${action}` });
    assert.deepEqual([stat.offset, stat.digest], [11n, DIGEST]);
    assert.equal((await next.send({ action: WRITE, data: Buffer.from("x") })).offset, 1n);
    assert.equal((await next.send({ action: STAT })).digest, digestOf("x"));
    await next.end();
  }
});

test("a commit without an offset throws the data away", async (t) => {
  const content = await open(t);
  const call = new WriteCall(content);
  await call.send({ action: WRITE, ref: "r", data: HELLO });
  await assert.rejects(call.send({ action: COMMIT, expected: DIGEST }), { code: Code.FailedPrecondition });
  assert.equal((await content.client().status({ ref: "r" })).status?.offset, 0n);
});

test("a commit of a wrong size, digest or label leaves the ingest", async (t) => {
  const content = await open(t);
  const wrong: readonly [WriteRequest, number][] = [
    [{ total: 12n }, Code.FailedPrecondition],
    [{ expected: digestOf("x") }, Code.FailedPrecondition],
    [{ labels: { k: "v".repeat(4096) } }, Code.InvalidArgument],
  ];
  for (const [conditions, code] of wrong) {
    const [call] = await sendWhenFree(content, { action: WRITE, ref: "r", data: HELLO });
    await assert.rejects(call.send({ action: COMMIT, offset: 11n, ...conditions }), { code });
    assert.equal((await content.client().status({ ref: "r" })).status?.offset, 11n);
  }
  assert.deepEqual(await collect(content.client().list({})), []);
  const [call] = await sendWhenFree(content, { action: STAT, ref: "r" });
  const labels = { k: "v".repeat(4095) };
  assert.equal((await call.send({ action: COMMIT, offset: 11n, total: 11n, expected: DIGEST, labels })).digest, DIGEST);
});

test("what earlier messages said of total and digest holds at the commit", async (t) => {
  const content = await open(t);
  const call = new WriteCall(content);
  await call.send({ action: STAT, ref: "r", total: 12n });
  await call.send({ action: WRITE, data: HELLO });
  await assert.rejects(call.send({ action: COMMIT, offset: 11n }), {
    code: Code.FailedPrecondition,
    message: /11 != 12/,
  });
});

test("committing what is there is AlreadyExists, and the ingest is gone", async (t) => {
  const content = await open(t);
  await ingest(content, HELLO);
  const call = new WriteCall(content);
  await call.send({ action: WRITE, ref: "again", data: HELLO });
  await assert.rejects(call.send({ action: COMMIT, offset: 11n }), { code: Code.AlreadyExists });
  await assert.rejects(content.client().status({ ref: "again" }), { code: Code.NotFound });
  assert.deepEqual(readdirSync(join(content.root, "ingest")), []);
  assert.deepEqual(content.topics(), ["default /content/create"]);
});

test("what is expected and there ends the call at its first answer, or at the message that says so", async (t) => {
  const content = await open(t);
  await ingest(content, HELLO);
  const exists = { code: Code.AlreadyExists, message: `content ${DIGEST}: already exists` };
  await assert.rejects(new WriteCall(content).send({ ref: "new", expected: DIGEST }), exists);
  const call = new WriteCall(content);
  await call.send({ action: WRITE, ref: "late", data: HELLO });
  await assert.rejects(call.send({ action: STAT, expected: DIGEST }), exists);
  assert.deepEqual((await content.client().listStatuses({ filters: [""] })).statuses, []);
  assert.deepEqual(readdirSync(join(content.root, "ingest")), []);
});

test("a blob of another namespace is unknown here, until it is written without its bytes", async (t) => {
  const content = await open(t);
  await ingest(content, HELLO, { namespace: "one", labels: { of: "one" } });
  const two = content.client("two");
  await assert.rejects(two.info({ digest: DIGEST }), {
    code: Code.NotFound,
    message: `content digest ${DIGEST}: not found`,
  });
  await assert.rejects(collect(two.read({ digest: DIGEST })), { code: Code.NotFound });
  assert.deepEqual(await collect(two.list({})), []);
  const call = new WriteCall(content, { namespace: "two" });
  const stat = await call.send({ action: STAT, ref: "r", total: 11n, expected: DIGEST });
  assert.deepEqual([stat.offset, stat.total, stat.digest], [11n, 11n, DIGEST]);
  const { status } = await two.status({ ref: "r" });
  assert.deepEqual([status?.offset, status?.expected], [11n, DIGEST]);
  await call.send({ action: COMMIT, offset: 11n, total: 11n, expected: DIGEST });
  await call.end();
  assert.deepEqual((await two.info({ digest: DIGEST })).info?.labels, {});
  await two.delete({ digest: DIGEST });
  assert.equal((await content.client("one").info({ digest: DIGEST })).info?.labels.of, "one");
});

test("reads begin anywhere up to the end and count from where they began", async (t) => {
  const content = await open(t);
  const data = Buffer.alloc((2 << 20) + 5, "abc");
  await ingest(content, data);
  const read = async (offset: bigint, size: bigint) => {
    const answers = await collect(content.client().read({ digest: digestOf(data), offset, size }));
    return { offsets: answers.map((each) => each.offset), data: Buffer.concat(answers.map((each) => each.data)) };
  };
  const all = await read(0n, 0n);
  assert.deepEqual(all.offsets, [0n, 1n << 20n, 2n << 20n]);
  assert.ok(all.data.equals(data));
  assert.deepEqual((await read(1n, 3n)).data.toString(), "bca");
  assert.deepEqual((await read(2n << 20n, 100n)).offsets, [0n]);
  assert.equal((await read(BigInt(data.length), -1n)).data.length, 0);
  await assert.rejects(read(BigInt(data.length) + 1n, 0n), { code: Code.OutOfRange });
  await assert.rejects(read(-1n, 0n), { code: Code.OutOfRange });
  await assert.rejects(collect(content.client().read({ digest: "sha256:1" })), { code: Code.InvalidArgument });
});

test("lists come in batches of 100 in order of digests, filtered", async (t) => {
  const content = await open(t);
  const digests: string[] = [];
  for (let index = 0; index < 201; index++) {
    await ingest(content, Buffer.from(String(index)), { labels: index % 2 === 0 ? { even: "yes" } : {} });
    digests.push(digestOf(String(index)));
  }
  const list = await collect(content.client().list({ filters: [""] }));
  assert.deepEqual(
    list.map(({ info }) => info.length),
    [100, 100, 1],
  );
  assert.deepEqual(
    list.flatMap(({ info }) => info.map(({ digest }) => digest)),
    digests.sort(),
  );
  const [even] = await collect(content.client().list({ filters: ["labels.even==yes", `digest==${digestOf("1")}`] }));
  assert.equal(even?.info.length, 100);
  await assert.rejects(collect(content.client().list({ filters: ["digest=x"] })), { code: Code.InvalidArgument });
});

test("updates touch the labels that the mask names, or replace all", async (t) => {
  const content = await open(t);
  await ingest(content, HELLO, { labels: { keep: "1", change: "1", drop: "1" } });
  const update = async (labels: Record<string, string>, paths: string[]) => {
    const { info } = await content.client().update({ info: { digest: DIGEST, labels }, updateMask: { paths } });
    return info?.labels;
  };
  const labels = { keep: "no", change: "2", drop: "" };
  assert.deepEqual(await update(labels, ["labels.change", "labels.drop"]), { keep: "1", change: "2" });
  assert.deepEqual(await update({ "a.b/c": "3" }, ["labels.a.b/c"]), { keep: "1", change: "2", "a.b/c": "3" });
  assert.deepEqual(await update({ only: "1" }, ["labels"]), { only: "1" });
  assert.deepEqual(await update({ other: "1", none: "" }, []), { other: "1" });
  await assert.rejects(update({}, ["size"]), { code: Code.InvalidArgument });
  await assert.rejects(update({ k: "v".repeat(4096) }, []), { code: Code.InvalidArgument });
  await assert.rejects(content.client().update({ info: { digest: digestOf("x") } }), { code: Code.NotFound });
  await assert.rejects(content.client().update({}), { code: Code.InvalidArgument });
});

test("an abort forgets the ingest, an unknown one is NotFound", async (t) => {
  const content = await open(t);
  const call = new WriteCall(content);
  await call.send({ action: WRITE, ref: "r", data: HELLO });
  await content.client().abort({ ref: "r" });
  await assert.rejects(content.client().status({ ref: "r" }), { code: Code.NotFound });
  await assert.rejects(content.client().abort({ ref: "r" }), { code: Code.NotFound });
  assert.deepEqual(readdirSync(join(content.root, "ingest")), []);
  const next = new WriteCall(content);
  assert.equal((await next.send({ action: STAT, ref: "r" })).offset, 0n, "a new one does not wait for the old writer");
  await assert.rejects(call.send({ action: COMMIT, offset: 11n }), {
    code: Code.FailedPrecondition,
    message: /aborted/,
  });
  assert.equal(
    (await next.send({ action: WRITE, data: HELLO })).offset,
    11n,
    "the old writer's end is not the new one's",
  );
  await next.end();
});

test("under a lease what is written or met joins it; an unknown lease is NotFound", async (t) => {
  const content = await open(t);
  await assert.rejects(new WriteCall(content, { lease: "no" }).send({ ref: "r" }), {
    code: Code.NotFound,
    message: /lease/,
  });
  assert.deepEqual((await content.client().listStatuses({})).statuses, []);
  for (const lease of ["one", "two", "three"]) content.createLease(lease);
  const call = new WriteCall(content, { lease: "one" });
  await call.send({ action: WRITE, ref: "r", data: HELLO });
  assert.deepEqual(content.leased("one"), ["ingests r"]);
  await call.send({ action: COMMIT, offset: 11n });
  assert.deepEqual(content.leased("one"), [`content ${DIGEST}`]);
  await assert.rejects(new WriteCall(content, { lease: "two" }).send({ ref: "r", expected: DIGEST }), {
    code: Code.AlreadyExists,
  });
  assert.deepEqual(content.leased("two"), [`content ${DIGEST}`]);
  await assert.rejects(ingest(content, HELLO, { lease: "three" }), { code: Code.AlreadyExists });
  assert.deepEqual(content.leased("three"), [`content ${DIGEST}`]);
  await assert.rejects(new WriteCall(content, { lease: "no" }).send({ ref: "r", expected: DIGEST }), {
    code: Code.NotFound,
  });
  assert.ok(existsSync(join(content.root, "blobs")));
});

test("a writer whose ingest was aborted has no say in the next one of that name", async (t) => {
  const content = await open(t);
  await ingest(content, HELLO);
  const [before, next] = [new WriteCall(content), new WriteCall(content)];
  await before.send({ action: STAT, ref: "again" });
  await content.client().abort({ ref: "again" });
  await next.send({ action: WRITE, ref: "again", data: Buffer.from("x") });
  await assert.rejects(before.send({ action: STAT, expected: DIGEST }), { code: Code.AlreadyExists });
  assert.equal((await content.client().status({ ref: "again" })).status?.offset, 1n);
  assert.equal((await next.send({ action: COMMIT, offset: 1n })).digest, digestOf("x"));
});
