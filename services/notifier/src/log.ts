/** One line each on stderr. What others wrote is escaped: a terminal must not obey a publisher. */

/** Where lines go; tests put something else in its place. */
export const sink = { write: (line: string): void => void process.stderr.write(line) };

export function log(level: "info" | "warning" | "error", text: string): void {
  const safe = text.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/g, (each) => `\\u${each.charCodeAt(0).toString(16).padStart(4, "0")}`);
  sink.write(`${new Date().toISOString()} ${level} ${safe}\n`);
}
