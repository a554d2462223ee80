/** Stands between a service and Redis, and loses what it is told to. */
import { createConnection, createServer, type Server as Listener, type Socket } from "node:net";

import { unique } from "./support.js";

/** Forwards everything, but what it was told to lose. */
export class Proxy {
  /** Called with what the server answers; true loses that, and ends both connections. */
  loses: (reply: Buffer, asked: Buffer) => boolean = () => false;
  lost = 0;
  readonly url: string;
  private readonly listener: Listener;
  private readonly open = new Set<Socket>();

  constructor(to: string) {
    const path = `${to.slice("unix://".length)}.${unique()}`;
    this.url = `unix://${path}`;
    this.listener = createServer((client) => this.join(client, createConnection(to.slice("unix://".length)))).listen(path);
  }

  private join(client: Socket, redis: Socket): void {
    let asked: Buffer = Buffer.alloc(0);
    for (const [one, other] of [[client, redis], [redis, client]] as const) {
      this.open.add(one);
      one.on("error", () => undefined).on("close", () => other.destroy());
    }
    client.on("data", (data) => {
      asked = data;
      redis.write(data);
    });
    redis.on("data", (data) => {
      if (!this.loses(data, asked)) return client.write(data);
      this.lost += 1;
      return client.destroy();
    });
  }

  close(): void {
    this.listener.close();
    for (const each of this.open) each.destroy();
  }
}
