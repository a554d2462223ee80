/** What the tests share: a real Redis, services in this process and in others, and waits for what is seen. */
import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { Redis } from "ioredis";

import type { Context, Route, Routes } from "../src/executor.js";
import { Service, type Options } from "../src/service.js";
import { sink } from "../src/log.js";
import { encode } from "../src/wire.js";

export const LUA = fileURLToPath(new URL("../../../../eventbus/streams/lua", import.meta.url));
const PROGRAM = process.env.REDIS_SERVER || "redis-server";

/** What services in this process said. */
export const said: string[] = [];
sink.write = (line) => void said.push(line);

export interface Server {
  readonly url: string;
  readonly redis: Redis;
  readonly process: ChildProcess;
  stop(): Promise<void>;
}

/** A Redis of the test's own, on a private socket. */
export async function server(): Promise<Server> {
  const directory = mkdtempSync(join(tmpdir(), "notifier-"));
  const socket = join(directory, "redis.sock");
  const child = spawn(PROGRAM, ["--port", "0", "--unixsocket", socket, "--dir", directory, "--save", "", "--appendonly", "no"]);
  for await (const line of createInterface(child.stdout)) {
    if (line.toLowerCase().includes("ready to accept connections")) break;
  }
  child.stdout.resume();
  const redis = new Redis(socket);
  const stop = async () => {
    redis.disconnect();
    child.kill("SIGKILL");
    await once(child, "exit");
    rmSync(directory, { recursive: true, force: true });
  };
  return { url: `unix://${socket}`, redis, process: child, stop };
}

/** What an event asks its handler for. */
export interface Errand {
  readonly name: string;
  readonly do: "end" | "raise" | "wait";
}

export type Work = (errand: Errand, context: Context) => Promise<void>;

export const only = (type: string, handle: Work, version = 1): Routes =>
  new Map([[type, { version, read: (data: unknown) => data as Errand, handle } as Route<Errand> as Route<unknown>]]);

/** A service with short times. */
export function service(url: string, options: Partial<Options> = {}): Service {
  const times = { leaseMs: 1_000, claimMs: 100, drainMs: 2_000 };
  const retry = { attempts: 2, backoff: [10] };
  const names = { service: "worker", topic: "errands", priorities: ["normal"], group: "g" };
  return new Service({ url, ...names, ...times, retry, concurrency: 8, lua: LUA, ...options });
}

/** Write events as any program may. */
export async function publish(redis: Redis, count: number, what: Errand["do"] = "end", type = "Errand", name = "e"): Promise<string[]> {
  const names = Array.from({ length: count }, (_, at) => `${name}-${at}`);
  for (const each of names) {
    await redis.xadd("errands", "*", ...encode({ type, source: "/test", data: { name: each, do: what } }).fields);
  }
  return names;
}

/** Wait until something is so; it is looked at again and again, and what never comes is a failure. */
export async function until(what: () => unknown, ms = 15_000): Promise<void> {
  const late = Date.now() + ms;
  while (!(await what())) {
    if (Date.now() > late) throw new Error(`it did not come: ${what.toString()}\n${said.slice(-20).join("")}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Entries that nobody has settled, of the topic and the group's private streams. */
export async function owed(redis: Redis, group = "g", stream = "errands"): Promise<number> {
  const pending = async (key: string) => Number(((await redis.xpending(key, group)) as [number])[0]);
  const braced = stream.startsWith("{") ? stream : `{${stream}}`;
  const parked = await redis.xlen(`${braced}:parked:${group}`);
  return (await pending(stream)) + (await pending(`${braced}:retry:${group}`)) + parked;
}

/** Everything was read, and nothing waits for its settlement. */
export async function settled(redis: Redis): Promise<boolean> {
  const [row = []] = (await redis.xinfo("GROUPS", "errands")) as unknown[][];
  const [[last] = [""]] = await redis.xrevrange("errands", "+", "-", "COUNT", 1);
  return row[row.indexOf("last-delivered-id") + 1] === last && (await owed(redis)) === 0;
}

/** A service in a process of its own, which may be killed. */
export class Worker {
  readonly lines: string[] = [];
  readonly child: ChildProcess;
  readonly exited: Promise<unknown[]>;

  constructor(url: string, options: Partial<Options> = {}) {
    const program = fileURLToPath(new URL("./worker.js", import.meta.url));
    this.child = spawn(process.execPath, [program, url, JSON.stringify(options)], { stdio: ["ignore", "pipe", "ignore"] });
    this.exited = once(this.child, "exit");
    if (this.child.stdout) createInterface(this.child.stdout).on("line", (line) => this.lines.push(line));
  }

  saw(line: string): number {
    return this.lines.filter((each) => each.startsWith(line)).length;
  }

  async kill(signal: NodeJS.Signals): Promise<number | null> {
    this.child.kill(signal);
    const [code] = await this.exited;
    return code as number | null;
  }
}

export const unique = () => randomBytes(4).toString("hex");
