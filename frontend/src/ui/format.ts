/** Figures and times as this person reads them. Times of the wire are POSIX seconds. */

import type { Hass } from "../data/hass";

function language(hass: Hass): string {
  return hass.locale?.language ?? hass.language;
}

export function number(hass: Hass, value: number, digits = 1): string {
  return new Intl.NumberFormat(language(hass), { maximumFractionDigits: digits }).format(value);
}

export function percent(hass: Hass, share: number, digits = 0): string {
  return new Intl.NumberFormat(language(hass), { style: "percent", maximumFractionDigits: digits }).format(share);
}

export function money(hass: Hass, value: number, currency?: string): string {
  const digits = value !== 0 && Math.abs(value) < 0.1 ? 4 : 2;
  return new Intl.NumberFormat(language(hass), {
    style: "currency",
    currency: currency ?? hass.config.currency ?? "EUR",
    maximumFractionDigits: digits,
  }).format(value);
}

/** The clock as people set it: 12 or 24 hours where they chose, else as their language does. */
function clock(hass: Hass): Intl.DateTimeFormatOptions {
  const chosen = hass.locale?.time_format;
  const hour12 = chosen === "12" ? { hour12: true } : chosen === "24" ? { hour12: false } : {};
  // Without a choice it is the time of the browser.
  const zone = hass.locale?.time_zone === "server" ? { timeZone: hass.config.time_zone } : {};
  return { hour: "2-digit", minute: "2-digit", ...hour12, ...zone };
}

export function time(hass: Hass, at: number, seconds = false): string {
  return new Intl.DateTimeFormat(language(hass), { ...clock(hass), ...more(seconds) }).format(at * 1000);
}

function more(seconds: boolean): Intl.DateTimeFormatOptions {
  return seconds ? { second: "2-digit" } : {};
}

export function dateTime(hass: Hass, at: number, seconds = false): string {
  return new Intl.DateTimeFormat(language(hass), {
    day: "2-digit",
    month: "short",
    year: "numeric",
    ...clock(hass),
    ...more(seconds),
  }).format(at * 1000);
}

/** A day of the week, 0 for Monday, as it is shortened. */
export function weekday(hass: Hass, day: number): string {
  // The first of January 2024 was a Monday.
  const at = Date.UTC(2024, 0, 1 + day);
  return new Intl.DateTimeFormat(language(hass), { weekday: "short", timeZone: "UTC" }).format(at);
}

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

/** "5 minutes ago", "in 2 hours". */
export function relative(hass: Hass, at: number, now = Date.now() / 1000): string {
  const seconds = Math.round(at - now);
  const [unit, size] = STEPS.find(([, one]) => Math.abs(seconds) >= one) ?? (["second", 1] as const);
  return new Intl.RelativeTimeFormat(language(hass), { numeric: "auto" }).format(Math.trunc(seconds / size), unit);
}

/** "1 h 05 min", "42 s": how long something takes. */
export function duration(hass: Hass, seconds: number): string {
  const say = (value: number, unit: "hour" | "minute" | "second") =>
    new Intl.NumberFormat(language(hass), { style: "unit", unit, unitDisplay: "short" }).format(value);
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return say(whole, "second");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  if (hours === 0) return say(minutes, "minute");
  return minutes === 0 ? say(hours, "hour") : `${say(hours, "hour")} ${say(minutes, "minute")}`;
}

export function milliseconds(hass: Hass, value: number): string {
  return value < 1000 ? `${number(hass, value, value < 10 ? 1 : 0)} ms` : `${number(hass, value / 1000, 1)} s`;
}
