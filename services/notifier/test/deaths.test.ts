import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";

import { Worker, only, owed, publish, server, service, until, type Server } from "./support.js";

let place: Server;
before(async () => void (place = await server()));
beforeEach(async () => void (await place.redis.flushall()));
after(() => place.stop());

test("what a killed process held begins elsewhere, and its lost start is counted", async () => {
  const victim = new Worker(place.url);
  await until(() => victim.saw("ready"));
  const expected = await publish(place.redis, 3, "wait");
  await until(() => victim.saw("started") === 3);
  await victim.kill("SIGKILL");
  const handled: string[] = [];
  const heir = service(place.url);
  await heir.start(() => only("Errand", async ({ name }) => void handled.push(name)));
  await until(async () => handled.length >= 3 && (await owed(place.redis)) === 0);
  assert.deepEqual(handled.sort(), expected);
  const consumers = async () => ((await place.redis.xinfo("CONSUMERS", "errands", "g")) as unknown[]).length;
  await until(async () => (await consumers()) === 1); // the name of the dead one is gone
  assert.equal(await heir.stop(), true);
});

test("an entry that takes its process down again and again is a dead letter", async () => {
  await publish(place.redis, 1, "wait", "Errand", "poison");
  for (let deaths = 0; deaths < 4; deaths++) {
    const victim = new Worker(place.url, { leaseMs: 600, concurrency: 1 });
    await until(() => victim.saw("started poison-0"));
    await victim.kill("SIGKILL");
  }
  const handled: string[] = [];
  const heir = service(place.url);
  await publish(place.redis, 1, "end", "Errand", "innocent");
  await heir.start(() => only("Errand", async ({ name }) => void handled.push(name)));
  await until(async () => (await place.redis.xlen("{errands}:dead:g")) === 1 && handled.length && (await owed(place.redis)) === 0);
  await heir.stop();
  const [[, letter] = ["", []]] = await place.redis.xrange("{errands}:dead:g", "-", "+");
  assert.equal(letter[letter.indexOf("ebreason") + 1], "crashes");
  assert.deepEqual(handled, ["innocent-0"]);
});

test("all that a dead process left is taken over, however little room there is at a time", async () => {
  await place.redis.xgroup("CREATE", "errands", "g", "0", "MKSTREAM");
  const expected = await publish(place.redis, 30);
  await place.redis.xreadgroup("GROUP", "g", "worker.gone.1.x", "STREAMS", "errands", ">");
  const handled: string[] = [];
  const heir = service(place.url, { leaseMs: 600, claimMs: 50, concurrency: 2 });
  await heir.start(() => only("Errand", async ({ name }) => void handled.push(name)));
  await until(async () => handled.length >= 30 && (await owed(place.redis)) === 0);
  await heir.stop();
  assert.deepEqual(handled.sort(), expected.sort());
});

test("stale entries behind more live ones than a claim looks at are reached, too", async () => {
  await place.redis.xgroup("CREATE", "errands", "g", "0", "MKSTREAM");
  await publish(place.redis, 1_200, "end", "Errand", "live");
  await place.redis.xreadgroup("GROUP", "g", "worker.alive.1.x", "STREAMS", "errands", ">");
  const expected = await publish(place.redis, 5);
  await place.redis.xreadgroup("GROUP", "g", "worker.gone.1.x", "STREAMS", "errands", ">");
  const ids = (await place.redis.xrevrange("errands", "+", "-", "COUNT", 5)).map(([id]) => id);
  await place.redis.xclaim("errands", "g", "worker.gone.1.x", 0, ...ids, "IDLE", 60_000, "JUSTID");
  const handled = new Set<string>();
  const heir = service(place.url, { leaseMs: 3_000, claimMs: 50 });
  await heir.start(() => only("Errand", async ({ name }) => void handled.add(name)));
  const live = (await place.redis.xrange("errands", "-", "+", "COUNT", 1_200)).map(([id]) => id);
  await until(async () => {
    await place.redis.xclaim("errands", "g", "worker.alive.1.x", 0, ...live, "JUSTID"); // as its owner would
    return expected.every((name) => handled.has(name));
  });
  await heir.stop();
});

test("SIGTERM loses nothing: what runs ends, what never started begins elsewhere, the exit code is 0", async () => {
  const victim = new Worker(place.url, { concurrency: 2, drainMs: 100 });
  await until(() => victim.saw("ready"));
  const expected = await publish(place.redis, 4, "wait");
  await until(() => victim.saw("started") === 2);
  assert.equal(await victim.kill("SIGTERM"), 0);
  assert.deepEqual(await place.redis.xinfo("CONSUMERS", "errands", "g"), []);
  assert.equal(await owed(place.redis), 0); // released, not left to a lease
  const [handled, attempts]: [string[], number[]] = [[], []];
  const heir = service(place.url, { leaseMs: 30_000 });
  await heir.start(() => only("Errand", async ({ name }, { attempt }) => {
    handled.push(name);
    attempts.push(attempt);
  }));
  await until(() => handled.length === 4);
  await heir.stop();
  assert.deepEqual([handled.sort(), attempts], [expected, [1, 1, 1, 1]]);
});

test("a handler that ends within the drain is a success", async () => {
  let release = () => undefined as void;
  const begun = new Promise<void>((resolve) => (release = resolve));
  let started = false;
  const worker = service(place.url);
  await publish(place.redis, 1);
  await worker.start(() => only("Errand", async () => {
    started = true;
    await begun;
  }));
  await until(() => started);
  const stopped = worker.stop();
  release();
  assert.equal(await stopped, true);
  assert.equal(await owed(place.redis), 0);
  assert.equal(await place.redis.xlen("{errands}:retry:g"), 0);
});
