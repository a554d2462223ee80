/** What this process holds of one group: from the parse of a reply until the answer to its settlement. No I/O. */
import { FRESH, split, type Carried } from "./carried.js";
import { Bell } from "./clock.js";
import type { Fields } from "./wire.js";

/** One handing-over of an entry to this process. Compared by identity. */
export class Delivery {
  readonly fields: Fields;
  readonly carried: Carried;
  /** Its lease was found to be another's. */
  lost = false;
  /** Its entry was cut from the stream: what this process holds is all there is. */
  cut = false;
  /** It has ended, and what became of it is being written. */
  settling = false;
  /** Asks the handler to stop: its lease is lost, or the shutdown's deadline is over. */
  readonly stop = new AbortController();

  /**
   * @param priv it stands in the group's private stream, not in the topic's
   * @param token the group's token that was known when its read was sent
   * @param confirmed when the read, claim, mark or beat was sent that renewed its lease last
   * @param count Redis's delivery count when it came, before a mark of ours
   * @param claimed it was handed over before: its start is marked
   */
  constructor(
    readonly id: string,
    fields: Fields,
    readonly priv: boolean,
    public token: string,
    public confirmed: number,
    public count = 1,
    public claimed = false,
  ) {
    ({ fields: this.fields, carried: this.carried } = priv ? split(fields) : { fields, carried: FRESH });
  }

  /** Whether its start is counted before it happens: it was claimed, or is a copy of one that was. */
  get marked(): boolean {
    return this.claimed || this.carried.crashes !== null;
  }

  /** Starts that were lost, as far as they were counted. */
  get crashes(): number {
    return this.count - 1 + (this.carried.crashes ?? 0);
  }

  /** Its entry id in the topic, where it was first read. */
  get origin(): string {
    return this.carried.entry || this.id;
  }

  /** What a copy of it carries before anything new is counted. */
  carry(): Carried {
    return { ...this.carried, entry: this.origin, crashes: this.marked ? this.crashes : null };
  }
}

/** Deliveries by place, the credit for reading more, and the room for taking over more. */
export class InHand {
  private readonly held = new Set<Delivery>();
  private readonly places = new Map<string, Delivery>();
  private readonly over = new Set<Delivery>();
  /** Rings when something was let go of. */
  readonly changed = new Bell();

  /**
   * @param limit most deliveries of what was read
   * @param most most deliveries beyond that of what was taken over, so that a backlog cannot keep it out
   */
  constructor(
    readonly limit: number,
    private readonly most: number,
  ) {}

  get size(): number {
    return this.held.size;
  }

  get credit(): number {
    return Math.max(0, this.limit - (this.held.size - this.over.size));
  }

  get room(): number {
    return Math.max(0, this.most - this.over.size);
  }

  all(): Delivery[] {
    return [...this.held];
  }

  find(id: string, priv: boolean): Delivery | undefined {
    return this.places.get(place(id, priv));
  }

  /**
   * Take a delivery in hand; false where its entry is there already. After its group began anew an entry may be read
   * again: if it is the same event, the delivery in hand goes on under the new token. Else ids were used again by a
   * server that was flushed, and both are events.
   */
  take(delivery: Delivery, takenOver: boolean): boolean {
    const known = this.find(delivery.id, delivery.priv);
    if (known && (known.token === delivery.token || adopted(known, delivery))) return false;
    this.places.set(place(delivery.id, delivery.priv), delivery);
    this.held.add(delivery);
    if (takenOver) this.over.add(delivery);
    return true;
  }

  /** Let go of a delivery whose settlement was answered. */
  letGo(delivery: Delivery): void {
    const where = place(delivery.id, delivery.priv);
    if (this.places.get(where) === delivery) this.places.delete(where);
    this.held.delete(delivery);
    this.over.delete(delivery);
    this.changed.ring();
  }
}

function adopted(known: Delivery, again: Delivery): boolean {
  const same = known.fields.length === again.fields.length && known.fields.every((each, at) => again.fields[at]?.equals(each));
  if (same) {
    [known.token, known.confirmed, known.count, known.lost] = [again.token, again.confirmed, again.count, false];
  }
  return same;
}

const place = (id: string, priv: boolean) => `${priv ? "p" : "t"} ${id}`;
