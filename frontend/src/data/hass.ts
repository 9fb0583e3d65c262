/** What Home Assistant hands to panels and cards, as far as we use it. */

export interface Connection {
  subscribeMessage<T>(
    told: (message: T) => void,
    message: Record<string, unknown>,
    options?: { resubscribe?: boolean },
  ): Promise<() => Promise<void> | void>;
  addEventListener(name: "ready" | "disconnected", listener: () => void): void;
  removeEventListener(name: "ready" | "disconnected", listener: () => void): void;
}

export interface EntityState {
  entity_id: string;
  state: string;
  attributes: Record<string, unknown> & { friendly_name?: string; user_id?: string; entity_picture?: string };
  last_changed: string;
}

export interface RegistryEntity {
  entity_id: string;
  device_id?: string;
  platform?: string;
  translation_key?: string;
  hidden?: boolean;
}

export interface RegistryDevice {
  id: string;
  name: string | null;
  name_by_user?: string | null;
  area_id?: string | null;
  identifiers: [string, string][];
  config_entries: string[];
}

export type Localize = (key: string, values?: Record<string, unknown>) => string;

export interface Hass {
  connection: Connection;
  user?: { id: string; name: string; is_admin: boolean; is_owner: boolean };
  language: string;
  locale?: { language: string; time_format?: string; time_zone?: string };
  config: { time_zone: string; currency?: string };
  states: Record<string, EntityState>;
  entities: Record<string, RegistryEntity>;
  devices: Record<string, RegistryDevice>;
  areas: Record<string, { area_id: string; name: string }>;
  dockedSidebar?: string;
  localize: Localize;
  /** Resolves to a `localize` that knows the words that were loaded. */
  loadBackendTranslation(category: string, domain?: string): Promise<Localize>;
  callWS<T>(message: Record<string, unknown>): Promise<T>;
  hassUrl(path?: string): string;
}

/** Tells whether something changed by which whole pages look; states and rows tell of themselves. */
export function differs(now: Hass | undefined, before: Hass | undefined): boolean {
  if (!now || !before) return now !== before;
  return (
    now.connection !== before.connection ||
    now.user !== before.user ||
    now.language !== before.language ||
    // More words were loaded, perhaps because somebody else asked for them.
    now.localize !== before.localize ||
    now.locale !== before.locale ||
    now.areas !== before.areas ||
    now.devices !== before.devices ||
    now.entities !== before.entities
  );
}

/** Returns the people of the house who can log in, by their names. */
export function people(hass: Hass): EntityState[] {
  const name = (one: EntityState) => one.attributes.friendly_name ?? one.entity_id;
  return Object.values(hass.states)
    .filter((one) => one.entity_id.startsWith("person.") && one.attributes.user_id)
    .sort((one, other) => name(one).localeCompare(name(other)));
}

/** Returns the person entity of a user, where there is one. */
export function personEntity(hass: Hass, userId: string | null | undefined): string | null {
  if (!userId) return null;
  for (const id in hass.states) {
    if (id.startsWith("person.") && hass.states[id]?.attributes.user_id === userId) return id;
  }
  return null;
}

/** Returns what people call a user: the name of their person entity, else their own where it is this user. */
export function personName(hass: Hass, userId: string | null | undefined): string | null {
  const id = personEntity(hass, userId);
  if (id) return hass.states[id]?.attributes.friendly_name ?? id;
  return userId && hass.user?.id === userId ? hass.user.name : null;
}

export function areaName(hass: Hass, zoneId: string | null | undefined): string | null {
  return (zoneId && hass.areas[zoneId]?.name) || null;
}
