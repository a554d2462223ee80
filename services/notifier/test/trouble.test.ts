/** An adversary between the service and Redis: replies are lost, connections end, and what was asked may have been done. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";

import { SCRIPTS } from "../src/group.js";
import { Line, Refused, Unavailable } from "../src/line.js";
import { Publisher } from "../src/publisher.js";
import { Scripts } from "../src/scripts.js";
import { Proxy } from "./proxy.js";
import { LUA, only, owed, publish, said, server, service, until, type Server } from "./support.js";

let place: Server;
let proxy: Proxy;
before(async () => void (place = await server()));
beforeEach(async () => {
  await place.redis.flushall();
  proxy = new Proxy(place.url);
});
afterEach(() => proxy.close());
after(() => place.stop());

/** Loses the first reply to a command that has these words in it. */
const once = (...words: string[]) => (_: Buffer, asked: Buffer) => proxy.lost === 0 && words.every((word) => asked.includes(word));

test("a Redis that does not answer yet is waited for", async () => {
  const handled: string[] = [];
  const worker = service(proxy.url, { priorities: ["normal", "low"] });
  proxy.loses = () => proxy.lost < 3;
  await worker.start(() => only("Errand", async ({ name }) => void handled.push(name)));
  const expected = await publish(place.redis, 1);
  await until(() => handled.length);
  assert.equal(await worker.stop(), true);
  assert.deepEqual([handled, proxy.lost], [expected, 3]);
});

test("the reply to a read is lost: what it brought is found again, and handled once", async () => {
  const handled: string[] = [];
  const worker = service(proxy.url, { leaseMs: 30_000 });
  proxy.loses = (reply, asked) => proxy.lost === 0 && asked.includes("XREADGROUP") && reply.includes("specversion");
  await worker.start(() => only("Errand", async ({ name }) => void handled.push(name)));
  const expected = await publish(place.redis, 5);
  await until(async () => handled.length >= 5 && (await owed(place.redis)) === 0);
  assert.equal(await worker.stop(), true);
  assert.deepEqual([handled.sort(), proxy.lost], [expected, 1]);
});

test("the reply to an acknowledgement is lost: it is sent again, and nothing runs twice", async () => {
  let runs = 0;
  const worker = service(proxy.url, { leaseMs: 30_000 });
  await worker.start(() => only("Errand", async () => void (runs += 1)));
  await place.redis.script("LOAD", script("ack"));
  proxy.loses = once(sha("ack"));
  await publish(place.redis, 1);
  await until(async () => proxy.lost === 1 && (await owed(place.redis)) === 0);
  assert.equal(await worker.stop(), true);
  assert.equal(runs, 1);
});

test("the reply to a move is lost: there is one copy of the event", async () => {
  let runs = 0;
  const worker = service(proxy.url, { leaseMs: 30_000, retry: { attempts: 2, backoff: [300] } });
  await worker.start(() => only("Errand", async () => {
    runs += 1;
    throw new Error("it fails");
  }));
  await place.redis.script("LOAD", script("move"));
  proxy.loses = once(sha("move"));
  await publish(place.redis, 1);
  await until(async () => (await place.redis.xlen("{errands}:dead:g")) > 0 && (await owed(place.redis)) === 0);
  assert.equal(await worker.stop(), true);
  assert.deepEqual([runs, proxy.lost, await place.redis.xlen("{errands}:dead:g")], [2, 1, 1]);
});

test("the reply to a claim is lost: who claimed finds it among its own once it is stale", async () => {
  await place.redis.xgroup("CREATE", "errands", "g", "0", "MKSTREAM");
  const [expected] = await publish(place.redis, 1);
  await place.redis.xreadgroup("GROUP", "g", "worker.gone.1.x", "STREAMS", "errands", ">");
  await place.redis.script("LOAD", script("claim"));
  proxy.loses = (reply, asked) => proxy.lost === 0 && asked.includes(sha("claim")) && reply.includes("specversion");
  const handled: string[] = [];
  const worker = service(proxy.url, { leaseMs: 900 });
  await worker.start(() => only("Errand", async ({ name }) => void handled.push(name)));
  await until(async () => handled.length > 0 && (await owed(place.redis)) === 0);
  assert.equal(await worker.stop(), true);
  assert.deepEqual([handled, proxy.lost], [[expected], 1]);
});

test("the reply to a publish is lost: the event stands there once, under the id of the first try", async () => {
  const line = new Line(proxy.url, "test", 1_000);
  const publisher = new Publisher(line.call, new Scripts(LUA, SCRIPTS), 5_000);
  const draft = { type: "T", source: "/t", data: {} };
  await place.redis.script("LOAD", script("publish"));
  proxy.loses = once(sha("publish"));
  const published = await publisher.once("told", "key", draft);
  const again = await publisher.once("told", "key", draft);
  const rows = await place.redis.xrange("told", "-", "+");
  assert.deepEqual([proxy.lost, rows.length, rows[0]?.[0], again], [1, 1, published.entry, published]);
  assert.ok(rows[0]?.[1].includes(published.id));
  line.close();
});

test("whoever waits for an answer on a connection that ends is told so, whatever the connection library would do", async () => {
  const line = new Line(proxy.url, "test", 5_000);
  await line.call("PING");
  proxy.loses = () => true;
  const answers = await Promise.allSettled([line.call("INCR", "n"), line.call("INCR", "n")]);
  assert.ok(answers.every((each) => each.status === "rejected" && each.reason instanceof Unavailable));
  proxy.loses = () => false;
  await line.call("PING"); // the line opens another connection, on which nothing is sent again by itself
  assert.equal(await place.redis.get("n"), "2");
  await assert.rejects(line.call("NOSUCHCOMMAND", "secret"), (error) => error instanceof Refused && !error.message.includes("secret"));
  line.close();
});

test("a lease is lost: the handler is asked to stop, and its failure changes nothing for the new owner", async () => {
  let told = false;
  const worker = service(place.url, { leaseMs: 600, claimMs: 60_000 });
  await publish(place.redis, 1, "wait");
  await worker.start(() => only("Errand", async (_, { signal }) => {
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    told = true;
    throw new Error("it was stopped");
  }));
  await until(async () => Number(((await place.redis.xpending("errands", "g")) as [number])[0]) === 1);
  const [[id] = [""]] = await place.redis.xrange("errands", "-", "+");
  await place.redis.xclaim("errands", "g", "another", 0, id);
  await until(() => told);
  await worker.stop();
  const [count, , , owners] = (await place.redis.xpending("errands", "g")) as [number, string, string, [string, string][]];
  assert.deepEqual([count, owners, await place.redis.xlen("{errands}:parked:g")], [1, [["another", "1"]], 0]);
});

test("a handler that is slower than the lease is not run elsewhere while its event loop turns", async () => {
  const runs: string[] = [];
  let finish = () => undefined as void;
  const slow = new Promise<void>((resolve) => (finish = resolve));
  const work = async ({ name }: { name: string }) => {
    runs.push(name);
    if (name === "slow-0") await slow;
  };
  // An entry of a process that is gone, silent from a moment on in which the slow handler runs: once it was taken over,
  // a lease has passed, and a sweep that saw both.
  await place.redis.xgroup("CREATE", "errands", "g", "0", "MKSTREAM");
  await publish(place.redis, 1, "end", "Errand", "left");
  const [[id] = [""]] = await place.redis.xrange("errands", "-", "+");
  await place.redis.xreadgroup("GROUP", "g", "worker.gone.1.x", "STREAMS", "errands", ">");
  const [one, other] = [service(place.url, { leaseMs: 800 }), service(place.url, { leaseMs: 800 })];
  await publish(place.redis, 1, "end", "Errand", "slow");
  await one.start(() => only("Errand", work));
  await other.start(() => only("Errand", work));
  await until(() => runs.includes("slow-0"));
  await place.redis.xclaim("errands", "g", "worker.gone.1.x", 0, id, "JUSTID");
  await until(() => runs.includes("left-0"));
  finish();
  await until(async () => (await owed(place.redis)) === 0);
  assert.deepEqual([await one.stop(), await other.stop(), runs.sort()], [true, true, ["left-0", "slow-0"]]);
});

test("a beat that comes too late loses the entry: the old owner's failure is not written over the new one's work", async () => {
  const worker = service(place.url, { leaseMs: 1_000, claimMs: 60_000 });
  let begun = false;
  await publish(place.redis, 1);
  await worker.start(() => only("Errand", async () => {
    begun = true;
    const [[id] = [""]] = await place.redis.xrange("errands", "-", "+");
    await place.redis.xclaim("errands", "g", "another", 0, id); // as it is once the lease is over
    throw new Error("too late");
  }));
  await until(() => begun);
  assert.equal(await worker.stop(), true);
  const [count, , , owners] = (await place.redis.xpending("errands", "g")) as [number, string, string, [string, string][]];
  assert.deepEqual([count, owners], [1, [["another", "1"]]]);
  assert.deepEqual([await place.redis.xlen("{errands}:parked:g"), await place.redis.xlen("{errands}:dead:g")], [0, 0]);
});

test("an entry is cut from the stream and buried by another while it is in hand: what is refused at first is written again", async () => {
  let runs = 0;
  let fail = () => undefined as void;
  const held = new Promise<void>((resolve) => (fail = resolve));
  const worker = service(place.url, { leaseMs: 900, claimMs: 60_000 });
  await publish(place.redis, 1);
  await worker.start(() => only("Errand", async () => {
    runs += 1;
    await held;
    throw new Error("it fails");
  }));
  await until(() => runs);
  const [[id] = [""]] = await place.redis.xrange("errands", "-", "+");
  await place.redis.xtrim("errands", "MAXLEN", 0);
  await until(() => said.some((line) => line.includes("was cut from the stream while it was in hand")));
  await place.redis.xack("errands", "g", id); // as the claim of another does with a row that has no entry
  await place.redis.config("SET", "maxmemory", "1");
  fail();
  await until(() => said.some((line) => line.includes("settling in errands/g: Redis refused: OOM")));
  await place.redis.config("SET", "maxmemory", "0");
  await until(async () => (await place.redis.xlen("{errands}:dead:g")) === 1);
  assert.equal(await worker.stop(), true);
  assert.equal(runs, 2);
});

test("an error of a strange make is written down like any other, and holds up nothing", async () => {
  const worker = service(place.url, { retry: { attempts: 1, backoff: [10] } });
  const strange = [
    Object.assign(new Error(), { message: 5, name: Symbol("n"), stack: {} }),
    Object.defineProperty(new Error(), "message", { get: () => assert.fail("no message") }),
    Object.create(null) as object,
    undefined,
  ];
  await worker.start(() => only("Errand", async ({ name }) => {
    throw strange[Number(name.slice(2))];
  }));
  await publish(place.redis, strange.length);
  await until(async () => (await place.redis.xlen("{errands}:dead:g")) === strange.length && (await owed(place.redis)) === 0);
  assert.equal(await worker.stop(), true);
});

test("once it is to stop no handler starts, also where Redis does not answer and the drain is over", async () => {
  const begun: string[] = [];
  const worker = service(place.url, { leaseMs: 30_000, drainMs: 200, concurrency: 2 });
  let aborted = false;
  await publish(place.redis, 3);
  await worker.start(() => only("Errand", async ({ name }, { signal }) => {
    begun.push(name);
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    aborted = true;
  }));
  await until(async () => begun.length === 2 && Number(((await place.redis.xpending("errands", "g")) as [number])[0]) === 3);
  place.process.kill("SIGSTOP");
  const stopped = worker.stop();
  await until(() => aborted);
  place.process.kill("SIGCONT");
  await stopped;
  assert.deepEqual(begun, ["e-0", "e-1"]);
});

function script(name: string): string {
  return readFileSync(join(LUA, `${name}.lua`), "utf8");
}

function sha(name: string): string {
  return createHash("sha1").update(script(name)).digest("hex");
}
