/** What was used, day by day. */

import type { Series } from "../../ui/plot";
import type { Use } from "./rows";

export const DAYS = 30;
export const DAY_MS = 86_400_000;

/** Returns what was used on each of the last days, a series for each material. */
export function byDay(uses: readonly Use[], now: number, label: (day: Date) => string, days = DAYS): Series[] {
  const start = new Date(now);
  start.setHours(0, 0, 0, 0);
  const dates = Array.from({ length: days }, (_, at) => {
    const day = new Date(start);
    day.setDate(day.getDate() - (days - 1 - at));
    return day;
  });
  const materials = [...new Set(uses.map((one) => one.material))].sort();
  return materials.map((material) => ({
    name: material,
    points: dates.map((day, at) => {
      const next = dates[at + 1]?.getTime() ?? day.getTime() + DAY_MS * 1.5;
      const used = uses.filter(
        (one) => one.material === material && one.at * 1000 >= day.getTime() && one.at * 1000 < next,
      );
      return { label: label(day), value: used.reduce((sum, one) => sum + one.grams, 0) };
    }),
  }));
}
