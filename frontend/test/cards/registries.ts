/** Houses as Home Assistant's registries tell of them. */

import type { Registries, RegistryArea, RegistryDevice, RegistryEntity } from "../../src/cards/house";

export interface Thing {
  readonly name: string;
  readonly area?: string;
  readonly entities: readonly string[];
}

export const BRAIN: Thing = {
  name: "KITTY",
  entities: [
    "binary_sensor.connected",
    "binary_sensor.health",
    "binary_sensor.stock_low",
    "sensor.budget_step",
    "sensor.dead_letters",
    "sensor.deadline_at_risk",
    "sensor.goals_to_decide",
    "sensor.job_daily_health_check",
    "sensor.pending_approvals",
    "sensor.projects",
    "sensor.reviews_waiting",
    "sensor.spent_today",
    "sensor.stock",
    "sensor.unknown_outcomes",
    "todo.print_queue",
    "todo.shopping",
    "todo.tasks",
  ],
};

export function printer(name: string, area?: string): Thing {
  const entities = ["sensor.printer_status", "camera.camera", "binary_sensor.pending_approval", "button.approve"];
  return area === undefined ? { name, entities } : { name, area, entities };
}

export function door(name: string, area: string): Thing {
  return { name, area, entities: ["lock.door", "binary_sensor.pending_approval", "button.approve", "button.deny"] };
}

export function outlet(name: string, area: string): Thing {
  return { name, area, entities: ["switch.power", "binary_sensor.pending_approval"] };
}

export function camera(name: string, area: string): Thing {
  return { name, area, entities: ["camera."] };
}

export const DEMO: readonly Thing[] = [
  BRAIN,
  printer("Big printer", "workshop"),
  printer("Mini", "workshop"),
  door("Tool cabinet", "workshop"),
  door("Workshop door", "workshop"),
  outlet("Laser", "laser_room"),
  camera("Workshop camera", "workshop"),
];

/** Return the registries of a house with these things, and with something of another integration. */
export function registries(things: readonly Thing[]): Registries & { entities: Record<string, RegistryEntity> } {
  const entities: Record<string, RegistryEntity> = {
    "light.hall": { entity_id: "light.hall", platform: "template", device_id: "hall", translation_key: "light" },
  };
  const devices: Record<string, RegistryDevice> = { hall: { id: "hall", name: "Hall" } };
  const areas: Record<string, RegistryArea> = {};
  for (const thing of things) {
    const slug = thing.name.toLowerCase().replaceAll(" ", "_");
    devices[slug] = { id: slug, name: thing.name, area_id: thing.area ?? null };
    if (thing.area) areas[thing.area] = { area_id: thing.area, name: capital(thing.area), icon: "mdi:hammer" };
    for (const role of thing.entities) {
      const [domain = "", key = ""] = role.split(".");
      const id = `${domain}.${slug}${key ? `_${key}` : ""}`;
      entities[id] = {
        entity_id: id,
        platform: "kitty",
        device_id: slug,
        ...(key ? { translation_key: key } : {}),
      };
    }
  }
  const states = Object.fromEntries(Object.keys(entities).map((id) => [id, { state: "unknown" }]));
  return { entities, devices, areas, states };
}

function capital(area: string): string {
  return area.charAt(0).toUpperCase() + area.slice(1).replaceAll("_", " ");
}
