import { expect, test } from "vitest";
import type { Hass } from "../src/data/hass";
import { type Key, words } from "../src/i18n";
import de from "../src/i18n/de.json" with { type: "json" };
import en from "../src/i18n/en.json" with { type: "json" };
import fr from "../src/i18n/fr.json" with { type: "json" };
import { dateTime, duration, milliseconds, money, percent, relative, time } from "../src/ui/format";

const hass = (language: string, more = {}) =>
  ({ language, locale: { language, ...more }, config: { time_zone: "UTC", currency: "EUR" } }) as unknown as Hass;
const english = hass("en-GB");

test("words count, fill in, and fall back to English", () => {
  expect(words("en", "approvals.count", { n: 1 })).toBe("1 request waits for people");
  expect(words("en", "approvals.count", { n: 2_000 })).toBe("2,000 requests wait for people");
  expect(words("xx", "common.cancel")).toBe("Cancel");
  expect(words("en", "nowhere.at_all" as Key)).toBe("nowhere.at_all");
  expect(words("en", "io.needs")).toBe("Needs: {what}");
});

type Tree = { [key: string]: string | Tree };

function leaves(tree: Tree, at = ""): Record<string, string> {
  return Object.fromEntries(
    Object.entries(tree).flatMap(([key, one]) =>
      typeof one === "string" ? [[at + key, one]] : Object.entries(leaves(one, `${at + key}.`)),
    ),
  );
}

test.each([
  ["de", de],
  ["fr", fr],
])("%s knows no word that English has not, and fills in the same", (_language, translated) => {
  const original = leaves(en);
  // "Once" needs no figure.
  const holes = (text: string) =>
    (text.match(/\{\w+\}/g) ?? [])
      .filter((one) => one !== "{n}")
      .sort()
      .join();
  const odd = Object.entries(leaves(translated as Tree)).filter(([key, text]) => {
    const counterpart = original[key] ?? original[key.replace(/#\w+$/, "#other")];
    return counterpart === undefined || holes(counterpart) !== holes(text);
  });
  expect(odd).toEqual([]);
});

test("how long something takes is told in two units at most", () => {
  expect([42, 60, 3_600, 3_900].map((one) => duration(english, one))).toEqual([
    "42 secs",
    "1 min",
    "1 hr",
    "1 hr 5 mins",
  ]);
  expect([0.4, 12.34, 1_500].map((one) => milliseconds(english, one))).toEqual(["0.4 ms", "12 ms", "1.5 s"]);
});

test("how long ago something was is told in the largest unit", () => {
  expect(relative(english, 1_000, 1_000 + 7_300)).toBe("2 hours ago");
  expect(relative(english, 1_000 + 86_400, 1_000)).toBe("tomorrow");
  expect(relative(english, 1_000, 1_000)).toBe("now");
});

test("money that is next to nothing is not written as nothing", () => {
  expect([2, 0.004, 0].map((one) => money(english, one))).toEqual(["€2.00", "€0.004", "€0.00"]);
  expect(percent(english, 0.256)).toBe("26%");
});

test("people see the clock that they chose", () => {
  const noon = Date.UTC(2026, 10, 21, 13, 5) / 1000;
  expect(time(hass("en-GB", { time_format: "12" }), noon)).toMatch(/pm$/i);
  expect(time(hass("en-US", { time_format: "24" }), noon)).not.toMatch(/pm$/i);
  expect(dateTime(english, noon)).toContain("2026");
  const far = { ...hass("en-GB", { time_format: "24", time_zone: "server" }), config: { time_zone: "Asia/Tokyo" } };
  expect(time(far as Hass, noon)).toBe("22:05");
});
