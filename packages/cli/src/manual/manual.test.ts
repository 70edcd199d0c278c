import assert from "node:assert/strict";
import { test } from "node:test";
import { buildCli } from "../app.ts";
import { commandShapes } from "./command-shape.ts";
import { escapeArgument, escapeText } from "./mdoc.ts";
import { manualPages } from "./pages.ts";

const pages = manualPages(new Date(0));

test("there is a page for the command and for each of its verbs, which the first one names", () => {
  const verbs = [...new Set(commandShapes(buildCli()).map(({ name }) => name.split(" ")[0] ?? ""))];
  assert.ok(verbs.length > 20);
  assert.deepEqual([...pages.keys()], ["trimaran.1", ...verbs.map((verb) => `trimaran-${verb}.1`)]);
  for (const verb of verbs) assert.ok(pages.get("trimaran.1")?.includes(`.It Xr trimaran-${verb} 1\n`), verb);
});

test("a page has every flag that --help has, and its examples", () => {
  for (const { name, flags, examples } of commandShapes(buildCli())) {
    const page = pages.get(`trimaran-${name.split(" ")[0]}.1`) ?? "";
    for (const flag of flags) assert.ok(page.includes(`Fl \\-${escapeText(flag.name)}`), `${name} --${flag.name}`);
    for (const words of examples) assert.ok(page.includes(escapeText(`trimaran ${name} ${words}`)), `${name} ${words}`);
  }
  const run = pages.get("trimaran-run.1") ?? "";
  assert.ok(run.startsWith(".Dd January 1, 1970\n.Dt TRIMARAN-RUN 1\n"));
  assert.ok(run.includes('.It Fl m , Fl \\-memory Ar "\\&SIZE"\n'), run);
  assert.ok(run.includes("may be given more than once"));
});

test("no text becomes a request", () => {
  assert.equal(escapeText(".Sh\n'x \\n a-b …"), "\\&.Sh\n\\&'x \\en a\\-b ...");
  assert.equal(escapeText("ü"), "\\[u00FC]");
  assert.equal(escapeArgument('a "b"'), '"\\&a ""b"""');
});
