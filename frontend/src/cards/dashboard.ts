/** From what is in the house to a dashboard of Home Assistant's own cards and ours; nothing here looks at the page. */

import {
  cameraOf,
  type Device,
  deviceCount,
  entitiesOf,
  entityOf,
  type House,
  type Registries,
  type RegistryArea,
  readHouse,
} from "./house";

export const PARTS = [
  "waiting",
  "printers",
  "access",
  "cameras",
  "queue",
  "materials",
  "work",
  "costs",
  "log",
] as const;
export type Part = (typeof PARTS)[number];

export const VIEWS = ["auto", "one", "areas"] as const;
export type Views = (typeof VIEWS)[number];

/** What a person may choose; without a choice all of it is there. */
export interface StrategyConfig {
  readonly type: string;
  readonly parts?: readonly Part[];
  readonly areas?: readonly string[];
  readonly views?: Views;
}

export interface Card {
  readonly type: string;
  readonly [key: string]: unknown;
}

export interface Section {
  readonly type: "grid";
  readonly column_span?: number;
  readonly cards: readonly Card[];
}

export interface View {
  readonly title: string;
  readonly path: string;
  readonly icon?: string;
  readonly type: "sections";
  readonly max_columns: number;
  readonly badges?: readonly Card[];
  readonly sections: readonly Section[];
}

export interface Dashboard {
  readonly views: readonly View[];
}

/** A house with what Home Assistant has set up. */
export type Home = Registries & { readonly config?: { readonly components?: readonly string[] } };

/** The words of a dashboard in the language of whoever looks. */
export type Say = (
  word: "title" | "nothing" | "nothing_title" | "power" | "doors" | "power_and_doors" | Part,
) => string;

/** From here on each area gets a view of its own: more devices than fit on a screen or two. */
export const MANY_DEVICES = 12;

const PANEL = "/kitty";
const ICONS: Readonly<Record<Part, string>> = {
  waiting: "mdi:hand-back-right-outline",
  printers: "mdi:printer-3d",
  access: "mdi:door",
  cameras: "mdi:cctv",
  queue: "mdi:playlist-play",
  materials: "mdi:printer-3d-nozzle-outline",
  work: "mdi:robot-outline",
  costs: "mdi:heart-pulse",
  log: "mdi:format-list-bulleted-type",
};
const PAGES: Readonly<Record<Part, string>> = {
  waiting: "approvals",
  printers: "prints",
  access: "workshop",
  cameras: "vision",
  queue: "prints",
  materials: "materials",
  work: "research",
  costs: "health",
  log: "audit",
};

/** Returns the dashboard of what this person may see of KITTY. */
export function dashboardOf(config: StrategyConfig, hass: Home, say: Say): Dashboard {
  const house = inAreas(readHouse(hass), config.areas);
  const parts = new Set<Part>(config.parts ?? PARTS);
  const places = placesOf(house, hass.areas);
  const split = config.views === "areas" || (config.views !== "one" && deviceCount(house) > MANY_DEVICES);
  if (house.brains.length === 0 && deviceCount(house) === 0) return { views: [emptyView(say)] };
  if (!split || places.length < 2) return { views: [wholeView(house, hass, parts, say)] };
  return { views: [overview(house, hass, parts, places, say), ...places.map((place) => areaView(place, parts, say))] };
}

// -- views --------------------------------------------------------------------------------------------

function wholeView(house: House, hass: Home, parts: ReadonlySet<Part>, say: Say): View {
  const made: Record<Part, () => readonly Card[]> = {
    waiting: () => waiting(house),
    printers: () => house.printers.map(printer),
    access: () => access(house),
    cameras: () => house.cameras.flatMap(camera),
    queue: () => queue(house),
    materials: () => materials(house),
    work: () => work(house),
    costs: () => costs(house),
    log: () => log(house, hass),
  };
  return view(house, say, sectionsOf(parts, say, house, made));
}

/** Returns the first of several views: what concerns the whole house, and each printer in short. */
function overview(house: House, hass: Home, parts: ReadonlySet<Part>, places: readonly Place[], say: Say): View {
  const made: Partial<Record<Part, () => readonly Card[]>> = {
    waiting: () => waiting(house),
    printers: () => places.flatMap((place) => place.house.printers.flatMap((one) => shortPrinter(one, place))),
    access: () => house.doors.flatMap((one) => door(one)),
    queue: () => queue(house),
    materials: () => materials(house),
    work: () => work(house),
    costs: () => costs(house),
    log: () => log(house, hass),
  };
  // The heading speaks of doors alone: power and lights are with their areas.
  return view(house, say, sectionsOf(parts, say, { ...house, outlets: [], lights: [] }, made));
}

function areaView(place: Place, parts: ReadonlySet<Part>, say: Say): View {
  const made: Partial<Record<Part, () => readonly Card[]>> = {
    printers: () => place.house.printers.map(printer),
    access: () => access(place.house),
    cameras: () => place.house.cameras.flatMap(camera),
  };
  return {
    title: place.title || say("title"),
    path: place.path,
    ...(place.icon ? { icon: place.icon } : {}),
    type: "sections",
    max_columns: 4,
    sections: sectionsOf(parts, say, place.house, made),
  };
}

function view(house: House, say: Say, sections: readonly Section[]): View {
  return {
    title: say("title"),
    path: "kitty",
    type: "sections",
    max_columns: 4,
    badges: entitiesOf(house.brains, "binary_sensor.connected").map((entity) => ({
      type: "entity",
      entity,
      name: DEVICE_NAME,
      show_name: true,
      color: "red",
      visibility: [isNot(entity, "on")],
    })),
    sections,
  };
}

function emptyView(say: Say): View {
  const card = { type: "markdown", title: say("nothing_title"), content: say("nothing") };
  return {
    title: say("title"),
    path: "kitty",
    type: "sections",
    max_columns: 4,
    sections: [{ type: "grid", cards: [card] }],
  };
}

function sectionsOf(
  parts: ReadonlySet<Part>,
  say: Say,
  house: House,
  made: Partial<Record<Part, () => readonly Card[]>>,
): readonly Section[] {
  return PARTS.filter((part) => parts.has(part)).flatMap((part) => {
    const cards = made[part]?.() ?? [];
    if (cards.length === 0) return [];
    // Two printers stand side by side where there is room.
    const wide = cards.filter((card) => card.type === PRINT).length > 1 ? { column_span: 2 } : {};
    return [{ type: "grid" as const, ...wide, cards: [heading(part, say, house), ...cards] }];
  });
}

function heading(part: Part, say: Say, house: House): Card {
  return {
    type: "heading",
    heading: part === "access" ? say(accessWord(house)) : say(part),
    icon: ICONS[part],
    heading_style: "title",
    tap_action: { action: "navigate", navigation_path: `${PANEL}/${PAGES[part]}` },
  };
}

function accessWord(house: House): "doors" | "power" | "power_and_doors" {
  if (house.outlets.length + house.lights.length === 0) return "doors";
  return house.doors.length === 0 ? "power" : "power_and_doors";
}

// -- areas --------------------------------------------------------------------------------------------

interface Place {
  readonly title: string;
  readonly path: string;
  readonly icon: string | null | undefined;
  readonly house: House;
}

/** Returns the areas in which there is something, by name; what has no area comes last, without a title. */
function placesOf(house: House, areas: Registries["areas"]): readonly Place[] {
  const ids = new Set(used(house).map((device) => device.areaId));
  const known: RegistryArea[] = Object.values(areas).filter((area) => ids.has(area.area_id));
  const named = known
    .sort((one, other) => one.name.localeCompare(other.name))
    .map((area) => ({
      title: area.name,
      path: `area-${area.area_id.replaceAll("_", "-")}`,
      icon: area.icon,
      house: only(house, (device) => device.areaId === area.area_id),
    }));
  const rest = only(house, (device) => device.areaId === null || !(device.areaId in areas));
  return deviceCount(rest) === 0 ? named : [...named, { title: "", path: "elsewhere", icon: null, house: rest }];
}

/** Returns the areas in which KITTY has devices, for whoever chooses among them. */
export function areasOf(hass: Registries): readonly RegistryArea[] {
  const ids = new Set(used(readHouse(hass)).map((device) => device.areaId));
  return Object.values(hass.areas)
    .filter((area) => ids.has(area.area_id))
    .sort((one, other) => one.name.localeCompare(other.name));
}

function used(house: House): readonly Device[] {
  return [...house.printers, ...house.doors, ...house.outlets, ...house.lights, ...house.cameras];
}

function inAreas(house: House, areas: readonly string[] | undefined): House {
  return areas === undefined ? house : only(house, (device) => device.areaId !== null && areas.includes(device.areaId));
}

function only(house: House, fits: (device: Device) => boolean): House {
  return {
    ...house,
    printers: house.printers.filter(fits),
    doors: house.doors.filter(fits),
    outlets: house.outlets.filter(fits),
    lights: house.lights.filter(fits),
    cameras: house.cameras.filter(fits),
  };
}

// -- cards --------------------------------------------------------------------------------------------

function waiting(house: House): readonly Card[] {
  const counts = [
    "sensor.unknown_outcomes",
    "sensor.reviews_waiting",
    "sensor.goals_to_decide",
    "sensor.dead_letters",
  ].flatMap((role) => entitiesOf(house.brains, role).map((entity) => tile(entity, { visibility: [above0(entity)] })));
  const late = entitiesOf(house.brains, "sensor.deadline_at_risk").map((entity) =>
    tile(entity, { visibility: [isKnown(entity)] }),
  );
  const low = entitiesOf(house.brains, "binary_sensor.stock_low").map((entity) =>
    tile(entity, { visibility: [is(entity, "on")] }),
  );
  const tasks = entitiesOf(house.brains, "todo.tasks").map((entity) => ({
    ...list(entity),
    visibility: [above0(entity)],
  }));
  const approvals = house.brains.length === 0 ? [] : [{ type: "custom:kitty-approvals", grid_options: FULL }];
  return [...approvals, ...counts, ...late, ...low, ...tasks];
}

function printer(device: Device): Card {
  return { type: PRINT, entity: entityOf(device, "sensor.printer_status") ?? "", grid_options: ONE_COLUMN };
}

function shortPrinter(device: Device, place: Place): readonly Card[] {
  const entity = entityOf(device, "sensor.printer_status");
  const open = { action: "navigate", navigation_path: place.path };
  return entity === undefined ? [] : [tile(entity, { name: DEVICE_NAME, tap_action: open })];
}

function access(house: House): readonly Card[] {
  return [
    ...house.doors.flatMap((device) => door(device)),
    ...house.outlets.flatMap((device) => decided(device, "switch.power", [{ type: "toggle" }])),
    ...house.lights.flatMap((device) => decided(device, "light.light", [])),
  ];
}

function door(device: Device): readonly Card[] {
  return decided(device, "lock.door", [{ type: "lock-commands" }]);
}

/** Returns the tile of a device; while something of it waits for people it has their buttons as well. */
function decided(device: Device, role: string, features: readonly Card[]): readonly Card[] {
  const entity = entityOf(device, role);
  if (entity === undefined) return [];
  const look = { name: DEVICE_NAME, grid_options: FULL };
  const plain = { ...look, ...(features.length > 0 ? { features } : {}) };
  const pending = entityOf(device, "binary_sensor.pending_approval");
  if (pending === undefined) return [tile(entity, plain)];
  return [
    tile(entity, { ...plain, visibility: [isNot(pending, "on")] }),
    tile(entity, {
      ...look,
      features: [...features, { type: "custom:kitty-decide" }],
      visibility: [is(pending, "on")],
    }),
  ];
}

function camera(device: Device): readonly Card[] {
  const entity = cameraOf(device);
  if (entity === undefined) return [];
  return [
    {
      type: "picture-entity",
      entity,
      name: device.name,
      show_state: false,
      camera_view: "auto",
      fit_mode: "cover",
      grid_options: { columns: "full", rows: 4 },
    },
  ];
}

function queue(house: House): readonly Card[] {
  return entitiesOf(house.brains, "todo.print_queue").map(list);
}

function materials(house: House): readonly Card[] {
  const stock = entitiesOf(house.brains, "sensor.stock").map((entity) => tile(entity));
  const shopping = entitiesOf(house.brains, "todo.shopping").map(list);
  // An empty shopping list alone says nothing of materials.
  return stock.length === 0 ? [] : [...stock, ...shopping];
}

function work(house: House): readonly Card[] {
  const first = ["sensor.projects", "sensor.research"].flatMap((role) => entitiesOf(house.brains, role));
  const jobs = house.brains.flatMap((brain) =>
    Object.entries(brain.entities)
      .filter(([role]) => role === "sensor.job" || role.startsWith("sensor.job_"))
      .flatMap(([, found]) => found),
  );
  return [...first, ...jobs.sort()].map((entity) => tile(entity));
}

function costs(house: House): readonly Card[] {
  const roles = [
    "sensor.spent_today",
    "sensor.spent_this_month",
    "sensor.budget_step",
    "binary_sensor.health",
    "sensor.cache_hits",
  ];
  const last = entitiesOf(house.brains, "sensor.last_answer").map((entity) =>
    tile(entity, { visibility: [isKnown(entity)] }),
  );
  const models = entitiesOf(house.models, "sensor.breaker").map((entity) => tile(entity, { name: DEVICE_NAME }));
  return [...roles.flatMap((role) => entitiesOf(house.brains, role)).map((entity) => tile(entity)), ...last, ...models];
}

/** Returns what was done to doors, power and printers, by whom, where Home Assistant keeps a log. */
function log(house: House, hass: Home): readonly Card[] {
  const entity_id = [
    ...house.doors.map((one) => entityOf(one, "lock.door")),
    ...house.outlets.map((one) => entityOf(one, "switch.power")),
    ...house.printers.map((one) => entityOf(one, "sensor.printer_status")),
  ];
  if (entity_id.length === 0 || !hass.config?.components?.includes("logbook")) return [];
  return [{ type: "logbook", hours_to_show: 24, target: { entity_id }, grid_options: { columns: "full", rows: 7 } }];
}

const PRINT = "custom:kitty-print";
const FULL = { columns: "full" } as const;
/** The width of a section; `full` would be both of a wide one. */
const ONE_COLUMN = { columns: 12 } as const;
const DEVICE_NAME = { type: "device" } as const;

function tile(entity: string, more: Readonly<Record<string, unknown>> = {}): Card {
  return { type: "tile", entity, name: { type: "entity" }, ...more };
}

function list(entity: string): Card {
  return { type: "todo-list", entity, hide_create: true, grid_options: FULL };
}

// -- conditions ---------------------------------------------------------------------------------------

interface Condition {
  readonly condition: "state" | "numeric_state";
  readonly entity: string;
  readonly state?: string;
  readonly state_not?: string | readonly string[];
  readonly above?: number;
}

function is(entity: string, state: string): Condition {
  return { condition: "state", entity, state };
}

function isNot(entity: string, state: string): Condition {
  return { condition: "state", entity, state_not: state };
}

function isKnown(entity: string): Condition {
  return { condition: "state", entity, state_not: ["unknown", "unavailable"] };
}

function above0(entity: string): Condition {
  return { condition: "numeric_state", entity, above: 0 };
}
