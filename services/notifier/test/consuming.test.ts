import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";

import { Reject } from "../src/outcome.js";
import { only, owed, publish, said, server, service, settled, until, type Server, type Work } from "./support.js";

let place: Server;
before(async () => void (place = await server()));
beforeEach(async () => void (await place.redis.flushall()));
after(() => place.stop());

const names = (rows: [string, string[]][]) => rows.map(([, fields]) => Object.fromEntries(pairs(fields)));
const pairs = (fields: string[]) => fields.flatMap((name, at) => (at % 2 ? [] : [[name, fields[at + 1] ?? ""]]));
const dead = async () => names(await place.redis.xrange("{errands}:dead:g", "-", "+"));

test("everything is handled once, and nothing is left", async () => {
  const handled: string[] = [];
  const work: Work = async ({ name }) => void handled.push(name);
  const [one, other] = [service(place.url), service(place.url)];
  const expected = await publish(place.redis, 100, "end", "Errand", "early");
  await one.start(() => only("Errand", work));
  await other.start(() => only("Errand", work));
  expected.push(...(await publish(place.redis, 400)));
  await until(() => handled.length >= 500);
  assert.deepEqual([await one.stop(), await other.stop()], [true, true]);
  assert.deepEqual(handled.sort(), expected.sort());
  assert.equal(await owed(place.redis), 0);
  assert.deepEqual(await place.redis.xinfo("CONSUMERS", "errands", "g"), []);
  assert.equal(await place.redis.hlen("{errands}:members:g"), 0);
});

test("a handler that fails is tried again, then the event is a dead letter that says why", async () => {
  const attempts: number[] = [];
  const worker = service(place.url);
  await publish(place.redis, 1, "raise");
  await worker.start(() => only("Errand", async (_, { attempt }) => {
    attempts.push(attempt);
    throw new TypeError("no such customer");
  }));
  await until(async () => (await place.redis.xlen("{errands}:dead:g")) === 1);
  await worker.stop();
  const [letter] = await dead();
  assert.deepEqual(attempts, [1, 2]);
  assert.equal(letter?.data, '{"name":"e-0","do":"raise"}');
  const told = [letter?.ebreason, letter?.ebattempts, letter?.ebgroup, letter?.eberror, letter?.ebmessage, letter?.ebtype];
  assert.deepEqual(told, ["attempts", "2", "g", "TypeError", "no such customer", "Errand"]);
  assert.match(letter?.ebtraceback ?? "", /consuming\.test\.js/);
  assert.equal(await owed(place.redis), 0);
  assert.ok(!said.join("").includes("no such customer"), "an error's message may quote the payload");
});

test("what is rejected is not tried again", async () => {
  const worker = service(place.url);
  await publish(place.redis, 1);
  await worker.start(() => only("Errand", async () => {
    throw new Reject("never");
  }));
  await until(async () => (await place.redis.xlen("{errands}:dead:g")) === 1);
  await worker.stop();
  const [letter] = await dead();
  assert.deepEqual([letter?.ebreason, letter?.ebattempts], ["rejected", "1"]);
});

test("what no event can be read from is a dead letter at once, with its fields; what follows is handled", async () => {
  const handled: string[] = [];
  const worker = service(place.url);
  await place.redis.xadd("errands", "*", "order_id", "o-1");
  await place.redis.xadd("errands", "*", "specversion", "1.0", "id", "\x1b[2J", "type", "T\n", "source", "/s", "data", Buffer.from([0xff]));
  await place.redis.xadd("errands", "*", "specversion", "1.0", "id", "1", "type", "T\n\u009b", "source", "/s", "data", "{}");
  await place.redis.xadd("errands", "*", ...Array.from({ length: 20_000 }, (_, at) => `f${at}`));
  await publish(place.redis, 1);
  await worker.start(() => only("Errand", async ({ name }) => void handled.push(name)));
  await until(async () => handled.length && (await place.redis.xlen("{errands}:dead:g")) === 4);
  await worker.stop();
  const letters = await dead();
  assert.deepEqual(letters.map((each) => each.ebreason), Array(4).fill("undecodable"));
  const [flat, damaged, strange, many] = letters;
  assert.deepEqual([flat?.order_id, flat?.ebmessage], ["o-1", "the entry has no specversion field"]);
  assert.equal(damaged?.ebmessage, "the entry's data is no JSON");
  assert.equal(strange?.ebmessage, "the entry's type has control characters");
  const [kept, rest] = [Object.keys(many ?? {}).filter((name) => /^f\d+$/.test(name)), JSON.parse(many?.ebrest ?? "[]") as string[]];
  assert.equal(kept.length + rest.length / 2, 10_000);
  assert.ok(!/[\x00-\x09\x0b-\x1f\x7f-\x9f]/.test(said.join("")), "a terminal obeys no publisher");
});

test("a type that nobody declared is dropped, one that a member declared waits for it; a newer version likewise", async () => {
  const handled: string[] = [];
  const work: Work = async ({ name }) => void handled.push(name);
  const [knows, other] = [service(place.url), service(place.url)];
  await other.start(() => only("Errand", work));
  await publish(place.redis, 1, "end", "Strange");
  await publish(place.redis, 1, "end", "Parcel", "early"); // nobody has declared it yet
  await until(() => settled(place.redis));
  await place.redis.hset("{errands}:types:g", "Parcel", "2");
  await publish(place.redis, 1, "end", "Parcel", "late");
  await until(async () => (await place.redis.xlen("{errands}:parked:g")) === 1);
  await knows.start(() => only("Parcel", work, 2));
  await until(() => handled.length === 1);
  await knows.stop();
  await other.stop();
  assert.deepEqual(handled, ["late-0"]);
  assert.deepEqual([await owed(place.redis), await place.redis.xlen("{errands}:dead:g")], [0, 0]);
});

test("a version that no member ever knew is a dead letter", async () => {
  const worker = service(place.url);
  await place.redis.xadd("errands", "*", ..."specversion 1.0 id 1 type Errand source /s data {} dataversion 7".split(" "));
  await worker.start(() => only("Errand", async () => undefined));
  await until(async () => (await place.redis.xlen("{errands}:dead:g")) === 1);
  await worker.stop();
  assert.equal((await dead())[0]?.ebreason, "newer");
});

test("a group that Redis lost is made anew; what was in hand is not lost with it", async () => {
  const handled: string[] = [];
  let let_go = () => undefined as void;
  const held = new Promise<void>((resolve) => (let_go = resolve));
  const worker = service(place.url);
  await publish(place.redis, 1, "raise", "Errand", "held");
  let begun = false;
  await worker.start(() => only("Errand", async ({ name, do: what }) => {
    if (what === "raise" && !begun) {
      begun = true;
      await held;
      throw new Error("it fails after its group is gone");
    }
    handled.push(name);
  }));
  await until(() => begun);
  await place.redis.flushall();
  await publish(place.redis, 2, "end", "Errand", "after");
  await until(() => handled.length === 2);
  let_go();
  await until(async () => handled.length === 3 && (await owed(place.redis)) === 0);
  await worker.stop();
  assert.deepEqual(handled.sort(), ["after-0", "after-1", "held-0"]);
});

test("an outage of Redis costs no event, and no handler is run twice", async () => {
  const handled: string[] = [];
  const worker = service(place.url, { leaseMs: 3_000 });
  let running = 0;
  let let_go = () => undefined as void;
  const held = new Promise<void>((resolve) => (let_go = resolve));
  await worker.start(() => only("Errand", async ({ name }) => {
    running += 1;
    await held;
    handled.push(name);
  }));
  await publish(place.redis, 3);
  await until(() => running === 3);
  place.process.kill("SIGSTOP"); // connections stay open, and nobody answers
  let_go();
  await until(() => said.some((line) => line.includes("renewing in") && line.includes("tried again")));
  place.process.kill("SIGCONT");
  const more = await publish(place.redis, 3, "end", "Errand", "more");
  await until(async () => handled.length === 6 && (await owed(place.redis)) === 0);
  await worker.stop();
  assert.deepEqual(handled.sort(), ["e-0", "e-1", "e-2", ...more]);
});
