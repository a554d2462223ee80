/** What this service does: a customer who ordered is told so, and others learn that he was. */
import type { Context, Route } from "./executor.js";
import type { Ledger } from "./ledger.js";
import type { Publisher } from "./publisher.js";
import { DecodeError, type Draft } from "./wire.js";

export const TOPIC = "orders";
/** The topic's streams, as services/orders/events.py declares them; each is read as a stream of its own. */
export const PRIORITIES = ["high", "normal"];
const SENT_TOPIC = "notifications";

export interface OrderCreated {
  readonly order_id: string;
  readonly customer_id: string;
  readonly total: string;
}

export type Send = (to: string, text: string, signal: AbortSignal) => Promise<void>;

/** The event type this service handles. `priority` is the stream's, for the ledger. */
export function routes(prefix: string, priority: string, send: Send, publisher: Publisher, ledger?: Ledger): Map<string, Route<unknown>> {
  const handle = async (order: OrderCreated, { envelope, signal }: Context): Promise<void> => {
    await send(order.customer_id, `We have received your order ${order.order_id} of ${order.total}`, signal);
    const draft = notificationSent(order, envelope.id, envelope.attributes.get("correlationid"));
    // One order, one notification: whoever handles the order again finds that it was said.
    const published = await publisher.once(prefix + SENT_TOPIC, `notified ${envelope.id}`, draft);
    ledger?.published(published.id, SENT_TOPIC, draft.type);
    ledger?.handled(envelope, TOPIC, "notifier", priority);
  };
  const route: Route<OrderCreated> = { version: 1, read: readOrder, handle };
  return new Map([["OrderCreated", route as Route<unknown>]]);
}

/** The event that others are told; it carries the chain of the order that caused it. */
export function notificationSent(order: OrderCreated, causedBy: string, chain: string | undefined): Draft {
  const data = { order_id: order.order_id, customer_id: order.customer_id, channel: "mail", sent_at: new Date().toISOString() };
  const attributes = { correlationid: chain || causedBy, causationid: causedBy };
  return { type: "NotificationSent", source: "/notifier", data, key: order.order_id, attributes };
}

/** Names the fields that are wrong, never what stands in them. Fields that are not known are a newer publisher's. */
export function readOrder(data: unknown): OrderCreated {
  const object = typeof data === "object" && data !== null && !Array.isArray(data);
  if (!object) throw new DecodeError("OrderCreated cannot be read: data: no object");
  const found = { ...data } as Record<string, unknown>;
  if (typeof found.total === "number") found.total = String(found.total); // as a foreign publisher may write it
  const wrong = ["order_id", "customer_id", "total"].filter((name) => typeof found[name] !== "string");
  if (wrong.length) throw new DecodeError(`OrderCreated cannot be read: ${wrong.map((name) => `${name}: no text`).join(", ")}`);
  return { order_id: String(found.order_id), customer_id: String(found.customer_id), total: String(found.total) };
}
