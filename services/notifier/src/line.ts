/**
 * Connections to Redis on which nothing is sent twice behind our back.
 *
 * ioredis by itself sends unanswered commands again after a reconnect (an XADD then stands there twice), queues commands
 * while it is offline (a claim would be executed long after it was decided on), and with `autoResendUnfulfilledCommands:
 * false` forgets unanswered ones without a word, so that who awaits them waits for ever. Here a connection that breaks is
 * over: everything on it is refused, and whoever asked knows whether it may be asked again.
 */
import { Redis } from "ioredis";

import { Bell, backoff, now } from "./clock.js";

export type Word = string | number | Buffer;
export type Call = (...words: Word[]) => Promise<unknown>;

/** Redis answered with an error. */
export class Refused extends Error {
  override readonly name = "Refused";
  readonly code: string;
  constructor(said: string) {
    const code = said.split(" ", 1)[0] ?? "ERR";
    super(code === "ERR" ? "Redis refused: ERR" : `Redis refused: ${said.slice(0, 200)}`); // an ERR may quote what was sent
    this.code = code;
  }
}

/** No answer came: what was asked may have been done, or not. */
export class Unavailable extends Error {
  override readonly name = "Unavailable";
}

const CONNECT_MS = 1_000; // at least; a connection that does not come costs the lease, too
const KEEP_ALIVE_MS = 15_000;
const HALF_CLOSED_MS = 100;
/** The server is a replica by now, or refuses us: another connection may lead to the right one. */
const MOVED_AWAY = new Set(["READONLY", "NOAUTH"]);
/** The server takes no writes now, so that nobody can renew anything: as good as no answer. */
const UNFIT = new Set(["READONLY", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "BUSY"]);

/** One connection, open until it breaks. */
export class Connection {
  broken = false;
  constructor(
    private readonly redis: Redis,
    private readonly silenceMs: number,
  ) {
    redis.on("end", () => this.end());
  }

  /** Send a command; replies come as bytes. Throws Refused, or Unavailable where none came for so many milliseconds. */
  readonly call: Call = async (...words) => this.within(this.silenceMs, ...words);

  async within(ms: number, ...words: Word[]): Promise<unknown> {
    if (this.broken) throw new Unavailable("the connection is closed");
    const [command, ...rest] = words;
    try {
      return await timed(this.redis.callBuffer(String(command), ...rest), ms);
    } catch (error) {
      if (error instanceof Error && error.name === "ReplyError") {
        const refused = new Refused(error.message);
        if (MOVED_AWAY.has(refused.code)) this.end();
        throw refused;
      }
      this.end();
      throw new Unavailable(error instanceof Error ? error.message : "no answer");
    }
  }

  end(): void {
    if (this.broken) return;
    this.broken = true;
    this.redis.disconnect();
  }
}

/** Opens a connection whenever there is none. Many may ask at once. */
export class Line {
  /** Called with each new connection, in turn, before anybody else may send on it. */
  readonly greetings = new Set<(call: Call) => Promise<unknown>>();
  /** Told with each answer how long there had been none. */
  readonly waited = new Set<(ms: number) => void>();
  private silentSince: number | undefined;
  private current: Connection | undefined;
  private opening: Promise<Connection> | undefined;

  constructor(
    private readonly url: string,
    private readonly name: string,
    private readonly silenceMs: number,
  ) {}

  readonly call: Call = async (...words) => {
    const asked = now();
    try {
      const answer = await (await this.open()).call(...words);
      this.answered(asked);
      return answer;
    } catch (error) {
      if (error instanceof Refused && !UNFIT.has(error.code)) this.answered(asked);
      else this.silentSince = Math.min(asked, this.silentSince ?? asked);
      throw error;
    }
  };

  async open(): Promise<Connection> {
    if (this.current && !this.current.broken) return this.current;
    this.opening ??= this.connect().finally(() => (this.opening = undefined));
    return this.opening;
  }

  close(): void {
    this.current?.end();
  }

  private answered(asked: number): void {
    const since = Math.min(asked, this.silentSince ?? asked);
    this.silentSince = undefined;
    for (const tell of this.waited) tell(now() - since);
  }

  private async connect(): Promise<Connection> {
    const connectMs = Math.max(CONNECT_MS, this.silenceMs);
    const redis = new Redis(this.url, {
      ...{ lazyConnect: true, retryStrategy: () => null, autoResendUnfulfilledCommands: false, enableOfflineQueue: false },
      ...{ connectTimeout: connectMs, keepAlive: KEEP_ALIVE_MS, disconnectTimeout: HALF_CLOSED_MS },
      ...{ connectionName: this.name, disableClientInfo: true }, // CLIENT SETINFO is unknown before 7.2
    });
    redis.on("error", () => undefined); // who sends a command hears of it; without a listener ioredis prints it
    const connection = new Connection(redis, this.silenceMs);
    try {
      await timed(redis.connect(), connectMs);
      for (const greet of this.greetings) await greet(connection.call).catch(ignoreRefused);
    } catch (error) {
      connection.end();
      throw new Unavailable(error instanceof Error ? error.message : "no connection");
    }
    this.current = connection;
    return connection;
  }
}

/** Ask until there is an answer, for so many milliseconds: only for what may be done twice. A refusal is an answer. */
export async function patiently<T>(ask: () => Promise<T>, ms: number): Promise<T> {
  const until = now() + ms;
  for (let failures = 1; ; failures++) {
    try {
      return await ask();
    } catch (error) {
      const wait = backoff(failures, 1_000);
      if (!(error instanceof Unavailable) || now() + wait > until) throw error;
      await new Bell().wait(wait);
    }
  }
}

/** Who greets asks again in its turn. */
function ignoreRefused(error: unknown): void {
  if (!(error instanceof Refused)) throw error;
}

async function timed<T>(answer: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Unavailable(`no answer in ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([answer, silence]);
  } finally {
    clearTimeout(timer);
  }
}
