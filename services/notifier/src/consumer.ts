/** This process's share of one group on one stream, put together from its rooms. docs/wire.md says what each must keep. */
import { Beat } from "./beat.js";
import { Bell, keep } from "./clock.js";
import { InHand, type Delivery } from "./delivery.js";
import { Executor, type Routes } from "./executor.js";
import { Gate } from "./gate.js";
import type { Group } from "./group.js";
import type { Line } from "./line.js";
import { log } from "./log.js";
import { Membership } from "./membership.js";
import { decide, type Ended, type Retry } from "./outcome.js";
import { Reader } from "./reader.js";
import { Settler } from "./settler.js";
import { Taker } from "./taker.js";

export interface Settings {
  readonly leaseMs: number;
  /** Between two sweeps for stale entries. */
  readonly claimMs: number;
  /** Handlers that run at a time; twice as many entries are held. */
  readonly concurrency: number;
  readonly retry: Retry;
}

export class Consumer {
  private readonly inHand: InHand;
  private readonly membership: Membership;
  private readonly executor: Executor;
  private readonly settler: Settler;
  private readonly reader: Reader;
  private readonly taker: Taker;
  private readonly beat: Beat;
  private readonly waits = { read: new Bell(), take: new Bell(), settle: new Bell(), beat: new Bell() };
  private ended = false;
  private loops: Promise<void>[] = [];

  /** @param commands a connection that never blocks, shared with others; @param reading this consumer's own */
  constructor(
    private readonly group: Group,
    private readonly commands: Line,
    private readonly reading: Line,
    private readonly settings: Settings,
    routes: Routes,
  ) {
    const { leaseMs, concurrency, retry } = settings;
    this.inHand = new InHand(concurrency * 2, concurrency);
    this.membership = new Membership(group);
    const gate = new Gate(group, this.membership, leaseMs);
    this.executor = new Executor(routes, gate, concurrency, (delivery, ended) => this.finish(delivery, ended));
    this.settler = new Settler(group, this.membership, this.inHand, retry, (delayMs) => this.taker.parked(delayMs));
    const taken = (deliveries: Delivery[], first: boolean) => this.executor.put(deliveries, first);
    this.reader = new Reader(reading, group, this.membership, this.inHand, taken);
    this.taker = new Taker(group, this.membership, this.inHand, this.reader, settings, () => this.executor.lasts, taken);
    this.beat = new Beat(group, this.membership, this.inHand, leaseMs, (delivery) => this.lose(delivery));
  }

  /** Join the group and consume from here on. Throws where Redis does not answer, or a key is something else. */
  async start(): Promise<void> {
    await this.membership.join();
    await this.membership.announce();
    this.commands.greetings.add(this.greet);
    this.commands.waited.add(this.waited);
    const [where, most] = [`${this.group.stream}/${this.group.name}`, this.settings.leaseMs / 6];
    const loop = (what: string, room: { once(): Promise<void> }, enough: () => boolean, bell: Bell) =>
      this.loops.push(keep(`${what} ${where}`, enough, () => room.once(), bell, most));
    loop("reading", this.reader, () => this.reader.stopping, this.waits.read);
    loop("taking over in", this.taker, () => this.taker.stopping, this.waits.take);
    loop("settling in", this.settler, () => this.ended, this.waits.settle);
    loop("renewing in", this.beat, () => this.ended, this.waits.beat);
  }

  /** Take no more in hand, and give up at once what never started: others begin it in under a second. */
  async stopTaking(): Promise<void> {
    this.executor.stop();
    this.taker.stop();
    this.waits.take.ring();
    this.waits.read.ring();
    // Own reads first: a blocked one would be given what is released.
    await this.reader.stop(this.commands.call);
    this.releaseWaiting();
    await Promise.all(this.loops.slice(0, 2)); // the claim under way may still bring some
    this.releaseWaiting();
  }

  /** Wait until no handler runs any more. */
  async drained(): Promise<void> {
    while (this.executor.running.size) await Promise.all(this.executor.running.values());
  }

  /** Ask every handler to stop: the time is over. What ends by it is released, uncounted. */
  abort(): void {
    for (const delivery of this.executor.running.keys()) delivery.stop.abort();
  }

  /** Wait until everything that ended is settled. */
  async settled(): Promise<void> {
    while (!this.settler.idle) await new Bell().wait(5);
  }

  /** End the loops, and leave the group. What still runs is left to its lease; what has no lease is written again. */
  async leave(): Promise<void> {
    const orphans = this.inHand.all().filter((each) => this.membership.orphaned(each) && !each.settling);
    const lost = () => log("error", `events that only this process held are lost to the group: up to ${orphans.length}`);
    await this.settler.rescue(orphans).catch(lost);
    this.end();
    await Promise.all(this.loops); // a heartbeat that is under way would be written after all
    const owed = await this.group.leave();
    if (owed) log("warning", `${owed} entries stay pending for this consumer, until its lease runs out`);
  }

  /** End the loops at once. */
  end(): void {
    this.ended = this.reader.stopping = true;
    this.taker.stop();
    this.commands.greetings.delete(this.greet);
    this.commands.waited.delete(this.waited);
    this.settler.wake();
    this.beat.bell.ring();
    for (const bell of Object.values(this.waits)) bell.ring();
    this.reading.close();
  }

  private readonly greet = (call: Line["call"]) => this.beat.renew(this.group.on(call));
  private readonly waited = (ms: number) => this.taker.waited(ms);

  private releaseWaiting(): void {
    for (const each of this.executor.clear()) this.finish(each, { how: "stopped", why: "it never started", type: "" });
  }

  private lose(delivery: Delivery): void {
    delivery.stop.abort();
    if (this.executor.forget(delivery)) this.inHand.letGo(delivery);
  }

  private finish(delivery: Delivery, ended: Ended): void {
    const lost = delivery.lost && !delivery.cut;
    const decision = decide(ended, delivery.carry(), lost, this.settings.retry, Math.random());
    this.settler.add(delivery, ended, decision);
  }
}
