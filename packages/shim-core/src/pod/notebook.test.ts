import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeMonitor } from "../testing/fake-link.ts";
import { monitorNotebook, OwnNotebook } from "./notebook.ts";

test("what the program keeps itself is encoded when somebody asks, and only what is still there", () => {
  const book = new OwnNotebook();
  let encoded = 0;
  const encode = (text: string) => () => {
    encoded++;
    return Buffer.from(text);
  };
  book.note("task/a", encode("old"));
  book.note("task/a", encode("new"));
  book.note("task/b", encode("gone"));
  book.note("task/b", undefined);
  assert.equal(encoded, 0);
  assert.deepEqual([...book.notes], [["task/a", Buffer.from("new")]]);
});

test("what the monitor keeps is there for the next connection", () => {
  const monitor = new FakeMonitor();
  const book = monitorNotebook(monitor.open());
  book.note("task/a", () => Buffer.from("kept"));
  book.note("task/b", () => Buffer.from("gone"));
  book.note("task/b", undefined);
  const notes = [...monitorNotebook(monitor.open()).notes].map(([key, value]) => [key, Buffer.from(value).toString()]);
  assert.deepEqual(notes, [["task/a", "kept"]]);
});
