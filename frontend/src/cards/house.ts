/** What KITTY has in this house, read from Home Assistant's registries alone. */

export interface RegistryEntity {
  readonly entity_id: string;
  readonly platform?: string;
  readonly translation_key?: string;
  readonly device_id?: string;
  readonly area_id?: string;
  readonly hidden?: boolean;
}

export interface RegistryDevice {
  readonly id: string;
  readonly identifiers?: readonly (readonly [string, string])[];
  readonly config_entries?: readonly string[];
  readonly name?: string | null;
  readonly name_by_user?: string | null;
  readonly area_id?: string | null;
}

export interface RegistryArea {
  readonly area_id: string;
  readonly name: string;
  readonly icon?: string | null;
}

/** The part of `hass` from which a house is read. */
export interface Registries {
  readonly entities: Readonly<Record<string, RegistryEntity>>;
  readonly devices: Readonly<Record<string, RegistryDevice>>;
  readonly areas: Readonly<Record<string, RegistryArea>>;
  readonly states: Readonly<Record<string, unknown>>;
}

/** A device with KITTY's entities of it, by `domain.translation_key`. */
export interface Device {
  readonly id: string;
  readonly name: string;
  readonly areaId: string | null;
  readonly entities: Readonly<Record<string, readonly string[]>>;
}

export interface House {
  /** The brains themselves; more than one where several are set up. */
  readonly brains: readonly Device[];
  readonly printers: readonly Device[];
  readonly doors: readonly Device[];
  readonly outlets: readonly Device[];
  readonly lights: readonly Device[];
  readonly cameras: readonly Device[];
  readonly models: readonly Device[];
}

export const PLATFORM = "kitty";

/** By which entity a kind of device is known. A printer may have a camera, a camera has nothing else. */
const MAIN: Readonly<Record<Exclude<keyof House, "cameras">, string>> = {
  brains: "sensor.pending_approvals",
  printers: "sensor.printer_status",
  doors: "lock.door",
  outlets: "switch.power",
  lights: "light.light",
  models: "sensor.breaker",
};

/** Returns the only, or the first, entity of a device with this role. */
export function entityOf(device: Device, role: string): string | undefined {
  return device.entities[role]?.[0];
}

/** Returns every entity of the brains with this role. */
export function entitiesOf(devices: readonly Device[], role: string): readonly string[] {
  return devices.flatMap((device) => device.entities[role] ?? []);
}

/** What was found in a registry is kept as long as the registry: states change far more often. */
const found = new WeakMap<Registries["entities"], ReadonlyMap<string, readonly string[]>>();

/** Returns the ids of the entities of KITTY that are not hidden, by their device. */
function kittyEntities(entities: Registries["entities"]): ReadonlyMap<string, readonly string[]> {
  const kept = found.get(entities);
  if (kept !== undefined) return kept;
  const byDevice = new Map<string, string[]>();
  for (const one of Object.values(entities)) {
    if (one.platform !== PLATFORM || one.hidden || one.device_id === undefined) continue;
    const ids = byDevice.get(one.device_id);
    if (ids === undefined) byDevice.set(one.device_id, [one.entity_id]);
    else ids.push(one.entity_id);
  }
  found.set(entities, byDevice);
  return byDevice;
}

/** Returns the device that an entity of KITTY belongs to, as far as this person may see it. */
export function deviceOf(hass: Registries, entityId: string): Device | undefined {
  const deviceId = hass.entities[entityId]?.device_id;
  return deviceId === undefined ? undefined : readDevice(hass, deviceId);
}

/** By what the brain knows a device of Home Assistant. */
export interface OfBrain {
  readonly entryId: string | undefined;
  readonly deviceId: string;
  /** Whether people are ever asked about it. */
  readonly asks: boolean;
}

/** Returns by what the brain knows the device of an entity; undefined where it is not one of KITTY. */
export function brainOf(hass: Registries, entityId: string): OfBrain | undefined {
  const entity = hass.entities[entityId];
  const device = entity?.platform === PLATFORM && entity.device_id ? hass.devices[entity.device_id] : undefined;
  const deviceId = device?.identifiers?.find(([domain]) => domain === PLATFORM)?.[1];
  if (device === undefined || deviceId === undefined) return undefined;
  const asks = Object.values(hass.entities).some(
    (one) => one.device_id === device.id && one.translation_key === "pending_approval",
  );
  return { entryId: device.config_entries?.[0], deviceId, asks };
}

/** The registries from which a house is read. */
export const REGISTRIES = ["entities", "devices", "areas"] as const;

/** Tells whether what was read is no longer so: a registry has changed, or an entity of KITTY came or went. */
export function isOutdated(before: Registries, now: Registries): boolean {
  return (
    REGISTRIES.some((registry) => before[registry] !== now[registry]) ||
    [...kittyEntities(now.entities).values()].some((ids) =>
      ids.some((entityId) => entityId in before.states !== entityId in now.states),
    )
  );
}

/** Returns what of KITTY this person may see, by kind, in the order of their names. */
export function readHouse(hass: Registries): House {
  const devices = readDevices(hass);
  const kind = (role: string) => devices.filter((device) => role in device.entities);
  return {
    brains: kind(MAIN.brains),
    printers: kind(MAIN.printers),
    doors: kind(MAIN.doors),
    outlets: kind(MAIN.outlets),
    lights: kind(MAIN.lights),
    models: kind(MAIN.models),
    cameras: devices.filter((device) => cameraOf(device) !== undefined && !(MAIN.printers in device.entities)),
  };
}

/** Returns the camera of a device. */
export function cameraOf(device: Device): string | undefined {
  return entityOf(device, "camera.camera") ?? entityOf(device, "camera.");
}

/** Returns how many devices people use: those for which a dashboard has a card. */
export function deviceCount(house: House): number {
  return house.printers.length + house.doors.length + house.outlets.length + house.lights.length + house.cameras.length;
}

function readDevices(hass: Registries): Device[] {
  return [...kittyEntities(hass.entities).keys()]
    .flatMap((id) => readDevice(hass, id) ?? [])
    .sort((one, other) => one.name.localeCompare(other.name) || one.id.localeCompare(other.id));
}

function readDevice(hass: Registries, id: string): Device | undefined {
  // A person without the right to read an entity has no state of it.
  const seen = (kittyEntities(hass.entities).get(id) ?? []).filter((entityId) => entityId in hass.states).sort();
  if (seen.length === 0) return undefined;
  const entities: Record<string, string[]> = {};
  let place: string | undefined;
  for (const entityId of seen) {
    const entity = hass.entities[entityId];
    const role = `${entityId.split(".", 1)[0]}.${entity?.translation_key ?? ""}`;
    entities[role] = [...(entities[role] ?? []), entityId];
    if (entity?.area_id && isMain(role)) place = entity.area_id;
  }
  return describe(hass, id, entities, place);
}

function isMain(role: string): boolean {
  return role.startsWith("camera.") || Object.values(MAIN).includes(role);
}

function describe(hass: Registries, id: string, entities: Device["entities"], place: string | undefined): Device {
  const device = hass.devices[id];
  return {
    id,
    name: device?.name_by_user || device?.name || id,
    areaId: place ?? device?.area_id ?? null,
    entities,
  };
}
