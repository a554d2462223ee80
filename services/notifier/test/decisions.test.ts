import assert from "node:assert/strict";
import { test } from "node:test";

import { FRESH } from "../src/carried.js";
import { backoff } from "../src/clock.js";
import { Delivery, InHand } from "../src/delivery.js";
import { ofGroup, ofPublish, level } from "../src/keys.js";
import { notificationSent, readOrder } from "../src/notifier.js";
import { Reject, UNHANDLED_MS, decide, hop, type Ended, type Retry } from "../src/outcome.js";
import { settings } from "../src/settings.js";
import { Sweeps } from "../src/sweeps.js";
import { DecodeError, EncodeError } from "../src/wire.js";

const RETRY: Retry = { attempts: 3, backoff: [1_000, 5_000] };
const raised = (error: unknown): Ended => ({ how: "raised", error, type: "T" });
const decided = (ended: Ended, carried = FRESH, lost = false) => decide(ended, carried, lost, RETRY, 0.5);

test("a success is acknowledged, whoever owns the entry by now: the work is done", () => {
  assert.deepEqual(decided({ how: "handled" }, FRESH, true), { write: "ack" });
});

test("whatever else ends after its lease was lost changes nothing", () => {
  for (const ended of [raised(new Error()), { how: "stopped", why: "", type: "" }, { how: "lost" }] as Ended[]) {
    assert.deepEqual(decided(ended, FRESH, true), { write: "nothing" });
  }
});

test("a failure is parked for longer each time, and dead-lettered when its attempts are spent; hops begin anew", () => {
  const first = decided(raised(new Error()), { ...FRESH, hops: 4, hopped: 9 });
  assert.deepEqual(first, { write: "park", carried: { ...FRESH, attempts: 1 }, delayMs: 1_000 });
  const second = decided(raised(new Error()), { ...FRESH, attempts: 1 });
  assert.deepEqual(second, { write: "park", carried: { ...FRESH, attempts: 2 }, delayMs: 5_000 });
  const third = decided(raised(new Error()), { ...FRESH, attempts: 2 });
  assert.deepEqual(third, { write: "dead-letter", carried: { ...FRESH, attempts: 3 }, reason: "attempts" });
});

test("delays vary by a fifth", () => {
  const delays = [0, 1].map((chance) => decide(raised(new Error()), FRESH, false, RETRY, chance));
  assert.deepEqual(delays.map((each) => each.write === "park" && each.delayMs), [800, 1_200]);
});

test("what cannot become better is dead-lettered at once", () => {
  const reasons = [new Reject("no"), new EncodeError("x"), new DecodeError("x")].map((error) => decided(raised(error)));
  assert.deepEqual(reasons.map((each) => each.write === "dead-letter" && each.reason), ["rejected", "never", "never"]);
});

test("what was not run costs no attempt", () => {
  const carried = { ...FRESH, attempts: 2, crashes: 1 };
  const why = { why: "", type: "T", version: 2 };
  assert.deepEqual(decided({ how: "stopped", ...why }, carried), { write: "release", carried });
  assert.deepEqual(decided({ how: "undecodable", ...why }, carried), { write: "dead-letter", carried, reason: "undecodable" });
  assert.deepEqual(decided({ how: "crashed", ...why }, carried), { write: "dead-letter", carried, reason: "crashes" });
  assert.deepEqual(decided({ how: "nobody", ...why }, carried), { write: "drop", carried, type: "T" });
  const unless = { type: "T", version: 2 };
  assert.deepEqual(decided({ how: "newer", ...why }, carried), { write: "dead-letter", carried, reason: "newer", unless });
});

test("what a member of the group knows waits for it, a day at most", () => {
  const first = hop(FRESH, RETRY, 5_000, 0.5);
  assert.deepEqual(first, { write: "park", carried: { ...FRESH, hops: 1, hopped: 5_000 }, delayMs: 1_000 });
  const last = hop({ ...FRESH, hops: 7, hopped: 5_000 }, RETRY, 5_000 + UNHANDLED_MS, 0.5);
  assert.equal(last.write === "dead-letter" && last.reason, "unhandled");
});

test("owners have a third of the lease after a start and after an outage; all graces together last no longer than a lease", () => {
  const sweeps = new Sweeps(3_000, 500, 0);
  assert.deepEqual([sweeps.delay(0), sweeps.delay(999), sweeps.delay(1_000)], [1_000, 1, 0]);
  sweeps.done(1_000, 0);
  assert.deepEqual([sweeps.delay(1_000), sweeps.delay(1_500)], [500, 0]);
  sweeps.waited(1_000, 2_000); // no longer than a third
  assert.equal(sweeps.held(2_000), false);
  let now = 2_000;
  for (; now < 60_000; now += 2_000) {
    sweeps.waited(1_100, now); // a link that goes up and down: 1.1 s of each 2
    if (!sweeps.held(now + 800)) break; // it is up for 0.9 s
  }
  assert.ok(now < 12_000, `no sweep for ${now} ms`);
});

test("what is taken over has room of its own, and what is read has credit", () => {
  const hand = new InHand(2, 1);
  const made = (id: string, token = "t", field = "a") => new Delivery(id, [Buffer.from(field), Buffer.from("")], false, token, 0);
  const [one, two] = [made("1-0"), made("2-0")];
  assert.deepEqual([hand.take(one, false), hand.take(made("1-0"), false), hand.take(two, true)], [true, false, true]);
  assert.deepEqual([hand.credit, hand.room, hand.size], [1, 0, 2]);
  assert.equal(hand.take(made("1-0", "anew"), false), false, "the same event goes on under the new token");
  assert.equal(one.token, "anew");
  assert.equal(hand.take(made("2-0", "anew", "another"), false), true, "an id that is used again is another event");
  assert.equal(hand.size, 3);
  hand.letGo(two);
  assert.deepEqual([hand.room, hand.find("2-0", false)?.token], [1, "anew"]);
});

test("keys are those of docs/wire.md, for a topic and for one of its priorities", () => {
  assert.deepEqual([level("orders", "normal"), level("orders", "high")], ["orders", "{orders}:p:high"]);
  assert.deepEqual([ofGroup("orders", "g").retry, ofGroup("{orders}:p:high", "g").retry], ["{orders}:retry:g", "{orders}:p:high:retry:g"]);
  assert.deepEqual(ofPublish("n", "k")[1], "{n}:once:k");
});

test("waits after failures double, vary, and end at the most", () => {
  assert.deepEqual([backoff(1, 1_000, 1), backoff(1, 1_000, 0), backoff(3, 1_000, 1), backoff(99, 1_000, 1)], [100, 50, 400, 1_000]);
});

test("an order is read by its fields; what is wrong is named, and never shown", () => {
  assert.deepEqual(readOrder({ order_id: "o", customer_id: "c", total: 9.5, newer: 1 }), { order_id: "o", customer_id: "c", total: "9.5" });
  for (const wrong of [null, [], "x", { order_id: 7, customer_id: "secret" }]) {
    assert.throws(() => readOrder(wrong), (error) => error instanceof DecodeError && !error.message.includes("secret"));
  }
});

test("a notification carries the chain of its order; an order without one begins it", () => {
  const order = { order_id: "o", customer_id: "c", total: "1" };
  assert.deepEqual(notificationSent(order, "id", "chain").attributes, { correlationid: "chain", causationid: "id" });
  assert.deepEqual(notificationSent(order, "id", undefined).attributes, { correlationid: "id", causationid: "id" });
});

test("settings are those of the other services; what is wrong is said with what to write", () => {
  const found = settings({ EVENTBUS_URL: "redis://r", EVENTBUS_LEASE: "3", EVENTBUS_PREFIX: "dev." });
  assert.deepEqual([found.leaseMs, found.claimMs, found.topic], [3_000, 5_000, "dev.orders"]);
  assert.throws(() => settings({}), /EVENTBUS_URL/);
  for (const wrong of ["0", "0.5", "x", "-1", "NaN", "9999"]) {
    assert.throws(() => settings({ EVENTBUS_URL: "redis://r", EVENTBUS_LEASE: wrong }), /EVENTBUS_LEASE: a number of seconds/);
  }
});
