import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { FRESH, MOST_VALUES, block, packed, split } from "../src/carried.js";
import { DecodeError, EncodeError, encode, headers, parse, uuid7 } from "../src/wire.js";

type Case = {
  name: string;
  fields: (string | { hex: string })[];
  decodes?: Record<string, unknown>;
  foreign?: true;
  refused?: string;
};

const WIRE = new URL("../../../../tests/wire/", import.meta.url);
const FILES = readdirSync(WIRE).filter((name) => name.endsWith(".json"));

const bytes = (each: string | { hex: string }) => (typeof each === "string" ? Buffer.from(each) : Buffer.from(each.hex, "hex"));
const buffers = (...texts: string[]) => texts.map((each) => Buffer.from(each));

/** What the fixture calls "decodes", made of what we read. */
function decoded(fields: Buffer[], priv: boolean): Record<string, unknown> | null {
  const copy = priv ? split(fields) : { fields, carried: FRESH };
  const envelope = parse(copy.fields);
  if (!envelope) return null;
  const { id, type, version, source, time, data, attributes } = envelope;
  const extensions = ["traceparent", "tracestate", "correlationid", "causationid"].filter((name) => attributes.has(name));
  return {
    ...{ id, type, version, source, time, key: attributes.get("partitionkey") ?? null },
    ...{ headers: Object.fromEntries(headers(envelope)), data },
    ...Object.fromEntries(extensions.map((name) => [name, attributes.get(name)])),
    ...(priv ? { carried: copy.carried } : {}),
  };
}

test("there are files with cases", () => {
  assert.ok(FILES.length >= 4);
});

for (const file of FILES) {
  test(`tests/wire/${file}: every case is read as it says`, () => {
    const cases = JSON.parse(readFileSync(new URL(file, WIRE), "utf8")) as Case[];
    assert.ok(cases.length);
    for (const { name, fields: given, decodes, foreign, refused } of cases) {
      const [fields, priv] = [given.map(bytes), file === "private.json"];
      if (refused !== undefined) assert.throws(() => decoded(fields, priv), DecodeError, name);
      else assert.deepEqual(decoded(fields, priv), foreign ? null : decodes, name);
    }
  });
}

test("an odd number of fields is refused", () => {
  assert.throws(() => parse(buffers("specversion", "1.0", "id")), DecodeError);
});

test("what we write is what we read, in the fixed order", () => {
  const attributes = { correlationid: "c", causationid: "d" };
  const { id, fields } = encode({ type: "T", source: "/s", data: { a: "ü" }, key: "k", attributes }, 1_700_000_000_123);
  const names = fields.filter((_, at) => at % 2 === 0);
  const order = ["specversion", "id", "type", "source", "time", "data", "partitionkey", "correlationid", "causationid"];
  assert.deepEqual(names, order);
  const read = parse(buffers(...fields));
  assert.deepEqual([read?.id, read?.time, read?.data], [id, "2023-11-14T22:13:20.123Z", { a: "ü" }]);
});

test("what no reader could take is refused before it is written", () => {
  for (const key of ["", "a\nb", "\ud800", "\u0085"]) {
    assert.throws(() => encode({ type: "T", source: "/s", data: 1, key }), EncodeError, JSON.stringify(key));
  }
  assert.throws(() => encode({ type: "T", source: "/s", data: "x".repeat(1 << 20) }), EncodeError);
  assert.doesNotThrow(() => encode({ type: "T", source: "/s", data: 1, key: "😀" }));
});

test("an id is a UUIDv7 of its time", () => {
  const id = uuid7(0x0123456789ab, Buffer.alloc(10, 0xff));
  assert.equal(id, "01234567-89ab-7fff-bfff-ffffffffffff");
  assert.ok(uuid7(1_000) < uuid7(2_000));
});

test("a copy of more fields than a script can write keeps them all", () => {
  const fields = buffers(...Array.from({ length: 20_000 }, (_, at) => `f${at}`));
  const copy = packed([...fields, ...block({ ...FRESH, entry: "1-0", attempts: 2 })]);
  assert.ok(copy.length <= MOST_VALUES);
  const { fields: found, carried } = split(copy);
  assert.deepEqual([found.length, carried.attempts, carried.entry], [20_000, 2, "1-0"]);
  assert.ok(found.every((each, at) => each.equals(fields[at] ?? Buffer.alloc(0))));
});
