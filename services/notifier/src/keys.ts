/** The keys of docs/wire.md, spelled here and nowhere else. A priority's stream is a stream like any other. */

/** The stream of one priority of a topic. */
export const level = (topic: string, priority: string) => (priority === "normal" ? topic : `{${topic}}:p:${priority}`);

/** What a stream's own keys begin with; the braces keep them in its slot. */
const of = (stream: string) => (stream.startsWith("{") ? stream : `{${stream}}`);

export const levels = (topic: string) => `{${topic}}:levels`;

/** The keys of one group of one stream. */
export const ofGroup = (stream: string, group: string) => ({
  retry: `${of(stream)}:retry:${group}`,
  parked: `${of(stream)}:parked:${group}`,
  due: `${of(stream)}:due:${group}`,
  dead: `${of(stream)}:dead:${group}`,
  types: `${of(stream)}:types:${group}`,
  members: `${of(stream)}:members:${group}`,
  hash: `${of(stream)}:group:${group}`,
  groups: `${of(stream)}:groups`,
  // Of an ordered group, which this one is not: the script that makes it wants to know them all the same.
  ordered: [
    `${of(stream)}:owner:${group}`,
    `${of(stream)}:free:${group}`,
    `${of(stream)}:attempts:${group}`,
    `${of(stream)}:retry:${group}:attempts:${group}`,
  ],
});

/** What the script that publishes wants to know of a topic; `once` remembers an idempotency key. */
export const ofPublish = (topic: string, once: string) => [
  topic,
  `{${topic}}:once:${once}`,
  ...["", ":due", ":ids", ":wake"].map((part) => `{${topic}}:scheduled${part}`),
];
