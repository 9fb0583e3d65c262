import { describe, expect, it } from "vitest";
import {
  type Card,
  type Dashboard,
  dashboardOf,
  type Home,
  MANY_DEVICES,
  type StrategyConfig,
} from "../../src/cards/dashboard";
import { BRAIN, camera, DEMO, door, outlet, printer, registries } from "./registries";

const WHOLE: StrategyConfig = { type: "custom:kitty" };
const MANY = [
  BRAIN,
  ...Array.from({ length: MANY_DEVICES }, (_, number) => door(`Door ${number}`, "workshop")),
  printer("Mini", "attic"),
  camera("Eye", "attic"),
  outlet("Laser", "attic"),
];

function made(hass: Home, config: StrategyConfig = WHOLE): Dashboard {
  return dashboardOf(config, hass, (word) => `<${word}>`);
}

function headings(dashboard: Dashboard): readonly unknown[][] {
  return dashboard.views.map((view) => view.sections.map((section) => section.cards[0]?.heading));
}

function cards(dashboard: Dashboard): readonly Card[] {
  return dashboard.views.flatMap((view) => view.sections.flatMap((section) => section.cards));
}

function entities(dashboard: Dashboard): readonly unknown[] {
  return cards(dashboard).map((card) => card.entity);
}

describe("the dashboard", () => {
  it("is this for the demonstration house", () => {
    expect(made(registries(DEMO))).toMatchSnapshot();
  });

  it("says what waits for people first", () => {
    expect(headings(made(registries(DEMO)))[0]?.[0]).toBe("<waiting>");
  });

  it("has a print card for each printer", () => {
    const found = cards(made(registries(DEMO))).filter((card) => card.type === "custom:kitty-print");
    expect(found.map((card) => card.entity)).toEqual([
      "sensor.big_printer_printer_status",
      "sensor.mini_printer_status",
    ]);
  });

  it("names only entities that this person may see", () => {
    const hass = registries(DEMO);
    const seen = Object.fromEntries(Object.entries(hass.states).filter(([id]) => !id.startsWith("lock.")));
    const found = entities(made({ ...hass, states: seen }));
    expect(found.filter((id) => id !== undefined && !(String(id) in seen))).toEqual([]);
  });

  it("leaves out what a person has hidden", () => {
    const hass = registries(DEMO);
    const id = "sensor.kitty_stock";
    const hidden = { ...hass.entities, [id]: { ...hass.entities[id], entity_id: id, hidden: true } };
    expect(entities(made({ ...hass, entities: hidden }))).not.toContain(id);
  });

  it("leaves other integrations alone", () => {
    expect(entities(made(registries(DEMO)))).not.toContain("light.hall");
  });

  it("has only the parts that were chosen, in the order of the house", () => {
    const config: StrategyConfig = { ...WHOLE, parts: ["access", "waiting"] };
    expect(headings(made(registries(DEMO), config))).toEqual([["<waiting>", "<power_and_doors>"]]);
  });

  it("has only devices of the areas that were chosen", () => {
    const found = entities(made(registries(DEMO), { ...WHOLE, areas: ["laser_room"] }));
    expect(found).toContain("switch.laser_power");
    expect(found).not.toContain("lock.workshop_door_door");
  });

  it("has one view while a screen holds everything", () => {
    expect(made(registries(DEMO)).views).toHaveLength(1);
  });

  it("has a view for each area once there are many devices", () => {
    expect(made(registries(MANY)).views.map((view) => view.path)).toEqual(["kitty", "area-attic", "area-workshop"]);
  });

  it("keeps many devices on one view where a person wants that", () => {
    expect(made(registries(MANY), { ...WHOLE, views: "one" }).views).toHaveLength(1);
  });

  it("has a view for each area of a small house where a person wants that", () => {
    const found = made(registries(DEMO), { ...WHOLE, views: "areas" });
    expect(found.views.map((view) => view.title)).toEqual(["<title>", "Laser room", "Workshop"]);
  });

  it("shows what has no area in the last view", () => {
    const hass = registries([...MANY, printer("Stray")]);
    const last = made(hass).views.at(-1);
    expect([last?.path, last?.title, last?.sections[0]?.cards[1]?.entity]).toEqual([
      "elsewhere",
      "<title>",
      "sensor.stray_printer_status",
    ]);
  });

  it("keeps everything on one view where all is in one area", () => {
    const hass = registries(MANY.filter((thing) => thing.area !== "attic"));
    expect(made(hass).views).toHaveLength(1);
  });

  it("leads from a printer in short to the view of its area", () => {
    const tile = cards(made(registries(MANY))).find((card) => card.entity === "sensor.mini_printer_status");
    expect(tile?.tap_action).toEqual({ action: "navigate", navigation_path: "area-attic" });
  });

  it("offers approve and deny on a door only while something of it waits", () => {
    const tiles = cards(made(registries(DEMO))).filter((card) => card.entity === "lock.workshop_door_door");
    expect(tiles.map((card) => [card.features, card.visibility])).toEqual([
      [
        [{ type: "lock-commands" }],
        [{ condition: "state", entity: "binary_sensor.workshop_door_pending_approval", state_not: "on" }],
      ],
      [
        [{ type: "lock-commands" }, { type: "custom:kitty-decide" }],
        [{ condition: "state", entity: "binary_sensor.workshop_door_pending_approval", state: "on" }],
      ],
    ]);
  });

  it("tells what happened to doors, power and printers where Home Assistant keeps a log", () => {
    const hass = { ...registries([door("Gate", "yard")]), config: { components: ["logbook"] } };
    expect(cards(made(hass)).find((card) => card.type === "logbook")?.target).toEqual({
      entity_id: ["lock.gate_door"],
    });
  });

  it("says what to do where there is nothing of KITTY", () => {
    expect(cards(made(registries([])))).toEqual([{ type: "markdown", title: "<nothing_title>", content: "<nothing>" }]);
  });

  it("speaks of doors alone where there are only doors", () => {
    expect(headings(made(registries([door("Gate", "yard")])))).toEqual([["<doors>"]]);
  });

  it("speaks of power alone where there are no doors", () => {
    expect(headings(made(registries([outlet("Laser", "yard")])))).toEqual([["<power>"]]);
  });
});
