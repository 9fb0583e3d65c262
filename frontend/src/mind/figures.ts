/** Sums for plots. Days are words like 2026-11-21, in the time of the house. */

const DAY_MS = 86_400_000;
/** So many bars are still told apart. */
const MOST_BARS = 62;

/** Returns every day from the first to the last. */
export function days(since: string, today: string): string[] {
  const found: string[] = [];
  const last = Date.parse(`${today}T00:00:00Z`);
  for (let at = Date.parse(`${since}T00:00:00Z`); at <= last; at += DAY_MS) {
    found.push(new Date(at).toISOString().slice(0, 10));
  }
  return found;
}

/** Returns the first day of what a day is drawn in: the day itself, or its week, or its month, so that bars stay wide enough. */
export function barOf(count: number): (day: string) => string {
  if (count <= MOST_BARS) return (day) => day;
  if (count <= MOST_BARS * 3) {
    return (day) => {
      const at = new Date(`${day}T00:00:00Z`);
      at.setUTCDate(at.getUTCDate() - ((at.getUTCDay() + 6) % 7));
      return at.toISOString().slice(0, 10);
    };
  }
  return (day) => `${day.slice(0, 7)}-01`;
}

export interface Stack {
  /** The first day of each bar. */
  bars: string[];
  series: { name: string; values: number[] }[];
}

/** Returns one series for each name that there is, with a value for each bar, also where nothing was. */
export function stacked<T extends { day: string }>(
  rows: readonly T[],
  all: readonly string[],
  nameOf: (row: T) => string,
  amountOf: (row: T) => number,
): Stack {
  const bar = barOf(all.length);
  const bars = [...new Set(all.map(bar))];
  const place = new Map(bars.map((day, at) => [day, at]));
  const series = new Map<string, number[]>();
  for (const row of rows) {
    const at = place.get(bar(row.day));
    if (at === undefined) continue;
    const name = nameOf(row);
    const values = series.get(name) ?? bars.map(() => 0);
    values[at] = (values[at] ?? 0) + amountOf(row);
    series.set(name, values);
  }
  return { bars, series: [...series].map(([name, values]) => ({ name, values })) };
}

/** Returns sums by a name, the largest first. */
export function summed<T>(
  rows: readonly T[],
  nameOf: (row: T) => string,
  amountOf: (row: T) => number,
): { name: string; value: number; rows: T[] }[] {
  const found = new Map<string, { name: string; value: number; rows: T[] }>();
  for (const row of rows) {
    const name = nameOf(row);
    const one = found.get(name) ?? { name, value: 0, rows: [] };
    one.value += amountOf(row);
    one.rows.push(row);
    found.set(name, one);
  }
  return [...found.values()].sort((a, b) => b.value - a.value || a.name.localeCompare(b.name));
}

/** Returns an id as the brain makes them, whose order is that of time; also where a page is not served securely. */
export function newId(now = Date.now()): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  for (let at = 0; at < 6; at++) bytes[at] = Math.floor(now / 256 ** (5 - at)) % 256;
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x70;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
