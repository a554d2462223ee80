/** This process's place in a group: the token that everything is settled under, and what is done when the group is lost. */
import { randomBytes } from "node:crypto";

import type { Delivery } from "./delivery.js";
import type { Group } from "./group.js";
import { log } from "./log.js";

export class Membership {
  token = "";
  private healing: Promise<void> | undefined;

  constructor(private readonly group: Group) {}

  /** Create the group where it is missing, adopt it where it exists. */
  async join(): Promise<void> {
    this.token = await this.group.ensure(randomBytes(8).toString("hex"), "");
  }

  /** Write the heartbeat; heals where the group is another one by now. */
  async announce(): Promise<void> {
    const token = this.token;
    if ((await this.group.announce(token)) === null) await this.heal(token);
  }

  /** Make the group anew, unless that was done since its token was `lost`: first heal, then settle. Many may ask at once. */
  async heal(lost: string): Promise<void> {
    if (this.token !== lost) return;
    this.healing ??= this.make(lost).finally(() => (this.healing = undefined));
    await this.healing;
  }

  /** Whether what this process holds is all there is of an event: its group was lost, or its entry was cut. */
  orphaned(delivery: Delivery): boolean {
    return delivery.token !== this.token || delivery.cut;
  }

  private async make(lost: string): Promise<void> {
    this.token = await this.group.ensure(randomBytes(8).toString("hex"), lost);
    if (this.token !== lost) {
      log("error", `${this.group.stream}/${this.group.name}: the group was lost in Redis and begins anew; events may be handled again`);
    }
  }
}
