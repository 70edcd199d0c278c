import assert from "node:assert/strict";
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { containerd } from "@trimaran/proto";
import { Code } from "../errors/manager-error.ts";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { Database } from "./database.ts";
import { NamespaceRecords } from "./namespaces.ts";
import { SandboxRecords } from "./sandboxes.ts";

const names = (database: Database) => new NamespaceRecords(database).list().map(({ name }) => name);

test("a throw undoes the whole transaction, the inner ones with it", () => {
  using directory = temporaryDirectory();
  using database = Database.open(join(directory.path, "meta.db"));
  const records = new NamespaceRecords(database);
  records.create({ name: "before", labels: {} });
  const failing = () =>
    database.transaction(() => {
      database.transaction(() => records.create({ name: "inner", labels: {} }));
      throw new Error("no");
    });
  assert.throws(failing, { message: "no" });
  assert.deepEqual(names(database), ["before"]);
  database.transaction(() => records.create({ name: "after", labels: {} }));
  assert.deepEqual(names(database), ["after", "before"]);
});

test("what was committed is there after reopening; the files are for the owner only", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "io.containerd.metadata.v1.sqlite", "meta.db");
  {
    using database = Database.open(path);
    new NamespaceRecords(database).create({ name: "a", labels: { k: "é" } });
    for (const suffix of ["", "-wal", "-shm"]) assert.equal(statSync(path + suffix).mode & 0o777, 0o600);
    database[Symbol.dispose]();
  }
  using database = Database.open(path);
  assert.deepEqual(new NamespaceRecords(database).list(), [{ name: "a", labels: { k: "é" } }]);
});

test("a database of a newer version is refused, and left alone", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "meta.db");
  Database.open(path)[Symbol.dispose]();
  const sqlite = new DatabaseSync(path);
  sqlite.exec("pragma user_version = 99");
  sqlite.close();
  assert.throws(() => Database.open(path), { code: Code.FailedPrecondition, message: /schema version 99/ });
});

test("a database of the first version gets what is new, and keeps what it has", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "meta.db");
  {
    using database = Database.open(path);
    new NamespaceRecords(database).create({ name: "old", labels: {} });
  }
  const sqlite = new DatabaseSync(path); // as the first version left it
  sqlite.exec("drop table sandboxes; pragma user_version = 1");
  sqlite.close();
  using database = Database.open(path);
  assert.deepEqual(names(database), ["old"]);
  const sandboxes = new SandboxRecords(database);
  const sandbox = containerd.types.Sandbox.decode(containerd.types.Sandbox.encode({ sandboxId: "pod" }));
  sandboxes.create("ns", sandbox);
  assert.deepEqual(sandboxes.get("ns", "pod"), sandbox);
});

test("a file that is no database is refused, with its path", () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "meta.db");
  writeFileSync(path, "x".repeat(5000));
  assert.throws(() => Database.open(path), { code: Code.DataLoss, message: new RegExp(`^${path}: `) });
});
