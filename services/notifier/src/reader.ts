/** Reads new entries, as far as there is credit for them, on a connection of its own that may block. */
import { Bell, now } from "./clock.js";
import { Delivery, type InHand } from "./delivery.js";
import type { Group } from "./group.js";
import { Refused, type Call, type Connection, type Line } from "./line.js";
import type { Membership } from "./membership.js";
import { entries, list } from "./replies.js";

const STREAMS = 2; // COUNT holds for each stream, so credit is shared between them
const BLOCK_MS = 2_000; // 6.2 lets a reader sleep on when its stream is deleted: how long a lost group may go unnoticed
const MARGIN_MS = 3_000; // beyond that a silent connection is given up
const UNBLOCK_EVERY_MS = 50; // an UNBLOCK that was sent just before the read began has no effect
const LOST_GROUP = new Set(["NOGROUP", "UNBLOCKED"]);

export class Reader {
  /** When the read in flight was sent: what it may still bring is not recovered. */
  readingSince: number | undefined;
  stopping = false;
  private known: Connection | undefined;
  private id = 0;
  private recoveredUnder = "";
  private busy = false;
  private readonly idle = new Bell();

  constructor(
    private readonly line: Line,
    private readonly group: Group,
    private readonly membership: Membership,
    private readonly inHand: InHand,
    private readonly taken: (deliveries: Delivery[], first: boolean) => void,
  ) {}

  /** Wait for credit, and read once. A read is never given up: what it brings nobody else would be given. */
  async once(): Promise<void> {
    // No read for a handful. It is reached while something runs: less than a half is running, the rest is queued or free.
    while (this.inHand.credit < Math.max(STREAMS, this.inHand.limit / 4) && !this.stopping) await this.inHand.changed.wait();
    this.busy = true;
    try {
      await this.read();
    } finally {
      this.busy = false;
      this.idle.ring();
    }
  }

  /** Read no more; returns when no read is in flight. */
  async stop(unblock: Call): Promise<void> {
    this.stopping = true;
    this.inHand.changed.ring();
    while (this.busy) {
      // Without Redis the read ends by its own silence.
      if (this.id) await unblock("CLIENT", "UNBLOCK", this.id).catch(() => undefined);
      if (this.busy) await this.idle.wait(UNBLOCK_EVERY_MS);
    }
  }

  private async read(): Promise<void> {
    const { token } = this.membership; // the one known when the read is sent, not when it is parsed
    try {
      const connection = await this.line.open();
      if (connection !== this.known || token !== this.recoveredUnder) await this.recover(connection, token);
      if (this.stopping) return;
      const sent = (this.readingSince = now());
      const { name, consumer, stream } = this.group;
      const count = Math.floor(this.inHand.credit / STREAMS);
      const options = ["GROUP", name, consumer, "COUNT", count, "BLOCK", BLOCK_MS, "STREAMS", stream, this.group.keys.retry, ">", ">"];
      const reply = await connection.within(BLOCK_MS + MARGIN_MS, "XREADGROUP", ...options);
      for (const [source, rows] of list(reply).map(list)) {
        const priv = String(source) === this.group.keys.retry;
        const read = entries(rows).map(({ id, fields }) => new Delivery(id, fields, priv, token, sent));
        this.taken(read.filter((each) => this.inHand.take(each, false)), false);
      }
    } catch (error) {
      if (!(error instanceof Refused && LOST_GROUP.has(error.code))) throw error;
      await this.membership.heal(token);
    } finally {
      this.readingSince = undefined;
    }
  }

  /** Find what the last connection was still to bring: own pending entries that are not in hand. No read is in flight. */
  private async recover(connection: Connection, token: string): Promise<void> {
    this.id = Number(await connection.call("CLIENT", "ID"));
    for (const priv of [false, true]) {
      for (let ids = await this.group.held(priv, ""); ids.length; ids = await this.group.held(priv, ids.at(-1) ?? "")) {
        await this.again(ids, priv, token);
      }
    }
    [this.known, this.recoveredUnder] = [connection, token];
  }

  /** Take those of some own entries that are not in hand. Nothing was started, so that nothing is counted. */
  async again(ids: readonly string[], priv: boolean, token: string): Promise<void> {
    let unknown = ids.filter((id) => this.inHand.find(id, priv)?.token !== token);
    while (unknown.length) {
      const sent = now();
      const { looked, found } = await this.group.recover(unknown, priv);
      const read = found.map(({ id, fields, count }) => new Delivery(id, fields, priv, token, sent, count, true));
      this.taken(read.filter((each) => this.inHand.take(each, false)), true);
      unknown = unknown.slice(Math.max(1, looked));
    }
  }
}
