/** Words that Home Assistant has of the integration: names of intents, of jobs, of errors. */

import { type Key, t } from "../i18n";
import type { Hass } from "./hass";
import type { Capability } from "./types";

const CATEGORIES = ["selector", "entity", "exceptions"] as const;

/** Loads what `intentName`, `jobName` and `reasonName` look up; a page calls it when it is opened. */
export async function loadWords(hass: Hass): Promise<void> {
  await Promise.all(CATEGORIES.map((one) => hass.loadBackendTranslation(one, "kitty")));
}

/** A word of the wire where nothing better is known: "door_unlocked" reads "Door unlocked". */
export function plain(word: string): string {
  const spaced = word.replaceAll(/[_.]/g, " ");
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}

export function intentName(hass: Hass, intent: string): string {
  return hass.localize(`component.kitty.selector.intent.options.${intent}`) || plain(intent);
}

export function jobName(hass: Hass, job: string): string {
  return hass.localize(`component.kitty.entity.sensor.job_${job}.name`) || plain(job);
}

/** Returns what people call a capability: the name of its switch, else the brain's own word. */
export function capabilityName(hass: Hass, row: Pick<Capability, "name" | "title">): string {
  const key = `component.kitty.entity.switch.capability_${row.name.replaceAll(".", "_")}.name`;
  return hass.localize(key) || row.title;
}

/** Why something was refused or ended, by its code. */
export function reasonName(hass: Hass, code: string): string {
  const key = `reasons.${code}` as Key;
  const own = t(hass, key);
  if (own !== key) return own;
  const words = hass.localize(`component.kitty.exceptions.${code}.message`);
  return words && !words.includes("{") ? words : plain(code);
}
