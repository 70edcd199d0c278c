import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Code, StatusError } from "../errors/manager-error.ts";
import { type FilterFields, parseFilters } from "./filters.ts";

const image: FilterFields = {
  name: "docker.io/library/x:1",
  target: { digest: "sha256:aa", mediatype: "" },
  labels: { a: "1", "a.b/c": "d", "b.c": "2" },
};

const matches: readonly (readonly [string, boolean])[] = [
  ["name", true],
  ["nothing", false],
  ["target.mediatype", false],
  ["name==docker.io/library/x:1", true],
  ["name==docker.io", false],
  ['labels."a.b/c"==d', true],
  ["labels.b.c==2", true],
  ['labels."b.c"==2', true],
  ["labels.a", true],
  ["labels.a.b", false],
  ["labels.__proto__", false],
  ["constructor", false],
  ["name~=/library/", true],
  ["name~=|/library/|", true],
  ["name~=^docker", true],
  ["name~=^library", false],
  ['name~="x:\\\\d$"', true],
  ["name~=/x:\\d$/", true],
  ["name~=/(?i)LIBRARY/", true],
  ["name~=/docker\\.io\\/lib/", true],
  ["name~=/[[:digit:]]\\z/", true],
  ["foo!=bar", true],
  ["name!=bar", true],
  ["name!=docker.io/library/x:1", false],
  ["foo==bar", false],
  ["name,foo", false],
  ["name,labels.a==1", true],
  ["target.digest==sha256:aa, labels.a==1", true],
  ["  labels . a", false],
  [" name == docker.io/library/x:1", true],
  ['name=="docker.io\\x2flibrary/x:1"', true],
  ["labels.a=='1'", false],
];

for (const [filter, expected] of matches) {
  const isError = filter === "  labels . a";
  test(`${filter} is ${isError ? "an error" : expected}`, () => {
    if (isError) assert.throws(() => parseFilters([filter]), { code: Code.InvalidArgument });
    else assert.equal(parseFilters([filter])(image), expected);
  });
}

test("filters are ored, and an empty one, or none, matches all", () => {
  for (const filters of [[], [""], ["foo", ""], ["foo", "name"]]) assert.equal(parseFilters(filters)(image), true);
  assert.equal(parseFilters(["foo", "bar"])(image), false);
});

const broken: readonly (readonly [string, RegExp])[] = [
  ["id=x", /filters\[0\] "id=x": at 3: expected an operator/],
  ["id>x", /an operator/],
  ["id<x", /an operator/],
  ["id== ", /a value/],
  ["id==,x", /a value/],
  ["id==a ,b", /at 6: expected a comma or the end/],
  ["id==a,", /at 7: expected a field/],
  [",id", /a field/],
  ["'id'", /a field/],
  ['id=="x', /a closing quote/],
  ['id=="\\q"', /valid escapes/],
  ["id~=/x", /a closing \//],
  ["id~=/(/", /a regular expression/],
  ["id~=/(?=x)/", /look-around/],
  ["id~=/(x)\\1/", /back-references/],
  ["a..b", /a field/],
  [" ", /a field/],
];

for (const [filter, message] of broken) {
  test(`${filter} is refused, with the place`, () => {
    assert.throws(() => parseFilters([filter]), { code: Code.InvalidArgument, message });
    assert.throws(() => parseFilters([filter], Code.Unknown), { code: Code.Unknown, message });
  });
}

// A model that knows no text: filters are made as trees, printed in all the ways that the grammar has, and evaluated here.
const names = ["name", "labels", "a", "b_1", "x.y/z", 'quo"te', "é"];
const values = ["", "1", "two", "a,b", "c d", 'say "hi"', "back\\slash", "line\nbreak", "sha256:ab", "é/*"];
const operators = ["present", "==", "!="] as const;
const name = fc.constantFrom(...names);
const selector = fc.record({
  path: fc.array(name, { minLength: 1, maxLength: 3 }),
  operator: fc.constantFrom(...operators),
  value: fc.constantFrom(...values),
});
type Tree = typeof selector extends fc.Arbitrary<infer T> ? T : never;
const blank = fc.constantFrom("", " ", "\t ", "\n");
const fields = fc.dictionary(
  name,
  fc.oneof(
    fc.constantFrom(...values),
    fc.dictionary(fc.constantFrom(...names, "a.b_1", "x.y/z.a"), fc.constantFrom(...values)),
  ),
);

function quote(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`;
}

function print({ path, operator, value }: Tree, space: string, quoteAll: boolean): string {
  const printed = path.map((each) => space + (quoteAll || !/^\w+$/.test(each) ? quote(each) : each)).join(".");
  if (operator === "present") return printed;
  const bare = !quoteAll && /^[^\s,"\\]+$/.test(value);
  return `${printed}${space}${operator}${space}${bare ? value : quote(value)}`;
}

function expected({ path, operator, value }: Tree, object: FilterFields): boolean {
  const [first = "", ...rest] = path;
  const top = Object.hasOwn(object, first) ? object[first] : undefined;
  const whole = Object.hasOwn(object, path.join(".")) ? object[path.join(".")] : undefined;
  const key = rest.join(".");
  const nested = typeof top === "object" && rest.length > 0 && Object.hasOwn(top, key) ? top[key] : undefined;
  const found = String((typeof whole === "string" ? whole : nested) ?? "");
  if (operator === "present") return found !== "";
  return operator === "!=" ? found !== value : found !== "" && found === value;
}

test("what the grammar can say means what the tree means", () => {
  const filter = fc.record({
    trees: fc.array(selector, { minLength: 1, maxLength: 3 }),
    space: blank,
    all: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(filter, { minLength: 1, maxLength: 3 }), fields, (filters, object) => {
      const texts = filters.map(({ trees, space, all }) => trees.map((tree) => print(tree, space, all)).join(","));
      const model = filters.some(({ trees }) => trees.every((tree) => expected(tree, object)));
      assert.equal(parseFilters(texts)(object), model, texts.join(" | "));
    }),
    { numRuns: 3000 },
  );
});

test("any text is a filter or a status", () => {
  const pieces = fc.constantFrom(
    "name",
    "labels",
    ".",
    ",",
    "==",
    "!=",
    "~=",
    "=",
    '"',
    "/",
    "|",
    "\\",
    " ",
    "(",
    "[",
    "*",
    "é",
    "\u0000",
  );
  const text = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.array(pieces, { maxLength: 12 }).map((parts) => parts.join("")),
  );
  fc.assert(
    fc.property(text, (filter) => {
      try {
        parseFilters([filter])(image);
      } catch (error) {
        assert.ok(error instanceof StatusError && error.code === Code.InvalidArgument, String(error));
      }
    }),
    { numRuns: 3000 },
  );
});
