/** Words of the integration's own translations for what the brain tells as codes. */

import type { Hass } from "../data/hass";

/** Loads what {@link choice} needs. */
export function loadChoices(hass: Hass): Promise<unknown> {
  return hass.loadBackendTranslation("selector", "kitty");
}

/** Returns a choice of a selector in the language of this person; the code itself where there are no words. */
export function choice(hass: Hass, selector: string, value: string): string {
  return hass.localize(`component.kitty.selector.${selector}.options.${value}`) || value.replaceAll("_", " ");
}

/** Returns the tier that answered, e.g. "In the house". */
export function tierName(hass: Hass, tier: string): string {
  return choice(hass, "tier", tier);
}
