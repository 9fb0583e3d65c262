/** What Home Assistant proposes for an entity, and where our feature fits; nothing here looks at the page. */

import { brainOf, deviceOf, entityOf, PLATFORM, type Registries } from "./house";

/** A card that Home Assistant proposes for an entity. */
export interface Suggestion {
  readonly label?: string;
  readonly config: Readonly<Record<string, unknown>>;
}

export const FEATURE = "kitty-decide";
const DOMAINS: ReadonlySet<string> = new Set(["lock", "switch", "light", "button", "sensor", "binary_sensor", "event"]);
/** What the tile of a device has beside our buttons. */
const FEATURES: Readonly<Record<string, readonly { readonly type: string }[]>> = {
  lock: [{ type: "lock-commands" }],
  switch: [{ type: "toggle" }],
  light: [],
};

/** What a tile is about. */
export interface Context {
  readonly entity_id?: string;
}

/** Tells whether people are ever asked about the device of an entity. */
export function isSupported(hass: Registries, context: Context): boolean {
  const { entity_id: entityId = "" } = context;
  return DOMAINS.has(domainOf(entityId)) && brainOf(hass, entityId)?.asks === true;
}

/** Proposes the print card for every entity of a printer. */
export function printSuggestion(hass: Registries, entityId: string): Suggestion | null {
  if (hass.entities[entityId]?.platform !== PLATFORM) return null;
  const device = deviceOf(hass, entityId);
  const entity = device && entityOf(device, "sensor.printer_status");
  return entity === undefined ? null : { config: { type: "custom:kitty-print", entity } };
}

/** Proposes the approvals card for the count of what waits, and a tile with our buttons for what people are asked about. */
export function approvalsSuggestion(hass: Registries, entityId: string, label: string): Suggestion | null {
  const entity = hass.entities[entityId];
  if (entity?.platform !== PLATFORM) return null;
  if (entity.translation_key === "pending_approvals") return { config: { type: "custom:kitty-approvals" } };
  const features = FEATURES[domainOf(entityId)];
  if (features === undefined || !isSupported(hass, { entity_id: entityId })) return null;
  return {
    label,
    config: { type: "tile", entity: entityId, features: [...features, { type: `custom:${FEATURE}` }] },
  };
}

function domainOf(entityId: string): string {
  return entityId.split(".", 1)[0] ?? "";
}
