/** Stands for a mail server. */
import type { Send } from "./notifier.js";

/** @param ms how long it takes to send one; by default 20 to 60 */
export function mail(ms?: number): Send {
  return async (_to, _text, signal) => {
    const takes = ms ?? 20 + Math.random() * 40;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(resolve, takes);
      signal.addEventListener("abort", () => {
        clearTimeout(timer);
        reject(new Error("the mail was not sent: it was stopped"));
      });
    });
  };
}
