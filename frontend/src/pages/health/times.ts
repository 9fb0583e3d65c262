/** From the figures of kitty.get_times to lines of a plot; nothing here looks at the page. */

import type { Point, Series } from "../../ui/plot";

export interface CommandTimes {
  action: string;
  count: number;
  p50_ms: number;
  p99_ms: number;
}

export interface Times {
  checks: { at: number[]; parts: Record<string, (number | null)[]> };
  commands: CommandTimes[];
}

/** So many points a line has at most: more cannot be told apart. */
const MOST = 30;
const LINES = 4;

/** Returns a line for each part: of every stretch of time the slowest look. */
export function columns(checks: Times["checks"], label: (at: number) => string): Series[] {
  const size = Math.max(1, Math.ceil(checks.at.length / MOST));
  const starts = checks.at.flatMap((_, at) => (at % size === 0 ? [at] : []));
  return Object.entries(checks.parts).map(([name, figures]) => ({
    name,
    points: starts.map(
      (start): Point => ({
        label: label(checks.at[start] ?? 0),
        value: Math.max(0, ...figures.slice(start, start + size).map((one) => one ?? 0)),
      }),
    ),
  }));
}

/** Tells whether so little lies between the points of a line that a clock without seconds repeats itself. */
export function dense(at: readonly number[]): boolean {
  const size = Math.max(1, Math.ceil(at.length / MOST));
  return at.some((one, place) => place >= size && one - (at[place - size] ?? 0) < 59);
}

/** Returns the lines that reach highest. */
export function slowest(lines: readonly Series[]): Series[] {
  const top = (one: Series) => Math.max(0, ...one.points.map((point) => point.value));
  return [...lines].sort((one, other) => top(other) - top(one)).slice(0, LINES);
}

/** When work comes again: after so many seconds, or at a time on some days (all, where none is named; 0 is Monday). */
export interface Timing {
  every: number | null;
  days: number[];
  at: string;
  zone: string;
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600 };
const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/** Returns a timing as the brain writes it; null for one that is not known here. */
export function timing(text: string): Timing | null {
  const often = /^every (\d+)([smh])$/.exec(text);
  if (often) return { every: Number(often[1]) * (SECONDS[often[2] ?? ""] ?? 1), days: [], at: "", zone: "" };
  const daily = /^(?:daily|weekly ([a-z,]+)) (\d{2}:\d{2})(?: (\S+))?$/.exec(text);
  if (!daily) return null;
  const days = daily[1]?.split(",").map((day) => DAYS.indexOf(day)) ?? [];
  return days.includes(-1) ? null : { every: null, days, at: daily[2] ?? "", zone: daily[3] ?? "" };
}
