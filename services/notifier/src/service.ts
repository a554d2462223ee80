/** The whole service on one Redis: its consumers and its publisher, started and ended in order. */
import { randomBytes } from "node:crypto";
import { hostname } from "node:os";

import { Bell, now } from "./clock.js";
import { Consumer, type Settings } from "./consumer.js";
import type { Routes } from "./executor.js";
import { Group, SCRIPTS } from "./group.js";
import { level, levels } from "./keys.js";
import { Line, patiently } from "./line.js";
import { log } from "./log.js";
import { Publisher } from "./publisher.js";
import { Scripts } from "./scripts.js";

export interface Options extends Settings {
  readonly url: string;
  readonly service: string;
  /** The topic's stream, the bus's prefix included, and the topic's priorities. */
  readonly topic: string;
  readonly priorities: readonly string[];
  readonly group: string;
  /** Milliseconds that handlers get to finish at shutdown. */
  readonly drainMs: number;
  /** Where the project's Lua scripts lie. */
  readonly lua: string;
}

const PATIENCE_MS = 10_000; // with a Redis that does not answer: it restarts, or starts beside us
const LEAVE_MS = 500; // at least: what only this process holds is written then
const GRACE_MS = 5_000; // beyond the drain: for what the cancel ends, and to settle

export class Service {
  readonly name: string;
  readonly publisher: Publisher;
  private readonly commands: Line;
  private readonly scripts: Scripts;
  private consumers: Consumer[] = [];

  constructor(private readonly options: Options) {
    // New at every start: who settles for a name must be the process that read under it.
    this.name = `${options.service}.${hostname()}.${process.pid}.${randomBytes(4).toString("hex")}`;
    this.scripts = new Scripts(options.lua, SCRIPTS);
    // A black hole is to cost a reconnect and not the lease: found within a third, the beat is in time.
    this.commands = new Line(options.url, this.name, Math.min(5_000, options.leaseMs / 3));
    this.publisher = new Publisher(this.commands.call, this.scripts, PATIENCE_MS);
  }

  /** Join the group on every stream of the topic, and consume. */
  async start(routes: (priority: string) => Routes): Promise<void> {
    const { topic, priorities } = this.options;
    if (priorities.length > 1) {
      const places = priorities.flatMap((name, place) => [place, name]);
      await patiently(() => this.commands.call("ZADD", levels(topic), "NX", ...places), PATIENCE_MS);
    }
    for (const priority of priorities) {
      const found = routes(priority);
      const consumer = this.consumer(level(topic, priority), found);
      await patiently(() => consumer.start(), PATIENCE_MS);
      this.consumers.push(consumer);
    }
  }

  /** Stop reading, release what never started, drain, settle, leave; all of it ends in time. Whether nothing was left. */
  async stop(): Promise<boolean> {
    const until = now() + this.options.drainMs; // one deadline, and a little for the rest
    const end = until + GRACE_MS;
    const each = (what: (consumer: Consumer) => Promise<void>) => Promise.all(this.consumers.map(what));
    const begun = within(until - now(), each((consumer) => consumer.stopTaking()));
    const drained = (await begun) && (await within(until - now(), each((consumer) => consumer.drained())));
    if (!drained) for (const consumer of this.consumers) consumer.abort();
    const ended = drained || (await within(GRACE_MS / 2, each((consumer) => consumer.drained())));
    if (!ended) log("error", "handlers that nothing can stop still run: what they hold is left to its lease");
    const settled = await within(end - now(), each((consumer) => consumer.settled()));
    if (!settled) log("error", "Redis does not answer: what is not settled is left to its lease, and handled again");
    const left = await within(Math.max(LEAVE_MS, end - now()), each((consumer) => consumer.leave()));
    for (const consumer of this.consumers) consumer.end();
    this.commands.close();
    return ended && settled && left;
  }

  private consumer(stream: string, routes: Routes): Consumer {
    const { url, service, group, leaseMs } = this.options;
    const types = new Map([...routes].map(([type, { version }]) => [type, version]));
    const member = { service, host: hostname(), pid: process.pid, leaseMs, types };
    const own = new Group(this.commands.call, this.scripts, stream, group, this.name, member);
    return new Consumer(own, this.commands, new Line(url, this.name, Math.min(5_000, leaseMs / 3)), this.options, routes);
  }
}

/** Whether something ended in time, and without an error. */
async function within(ms: number, what: Promise<unknown>): Promise<boolean> {
  const [bell, until] = [new Bell(), now() + ms];
  let done: boolean | undefined;
  what.then(
    () => (done = true),
    (error: unknown) => {
      done = false;
      log("error", `at the end: ${error instanceof Error ? error.message : "failed"}`);
    },
  ).finally(bell.ring);
  do await bell.wait(Math.max(0, until - now()));
  while (done === undefined && now() < until);
  return done === true;
}
