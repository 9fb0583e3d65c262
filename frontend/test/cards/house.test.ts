import { describe, expect, it } from "vitest";
import { brainOf, deviceOf, isOutdated, type Registries, readHouse } from "../../src/cards/house";
import { DEMO, door, registries } from "./registries";

/** Returns the registries with a change to one of them. */
function changed(hass: Registries, change: Partial<Registries>): Registries {
  return { ...hass, ...change };
}

describe("a house", () => {
  it("is known by its devices, not by names of entities", () => {
    const house = readHouse(registries(DEMO));
    const names = Object.entries({ ...house }).map(([kind, found]) => [kind, found.map((device) => device.name)]);
    expect(Object.fromEntries(names)).toEqual({
      brains: ["KITTY"],
      printers: ["Big printer", "Mini"],
      doors: ["Tool cabinet", "Workshop door"],
      outlets: ["Laser"],
      lights: [],
      models: [],
      cameras: ["Workshop camera"],
    });
  });

  it("calls a device as its people do", () => {
    const hass = registries([door("Gate", "yard")]);
    const devices = { gate: { id: "gate", name: "Gate", name_by_user: "Great gate" } };
    expect(readHouse(changed(hass, { devices })).doors[0]?.name).toBe("Great gate");
  });

  it("calls a device that has no name by its id", () => {
    const hass = registries([door("Gate", "yard")]);
    expect(readHouse(changed(hass, { devices: {} })).doors[0]?.name).toBe("gate");
  });

  it("finds a door where its lock was put", () => {
    const hass = registries([door("Gate", "yard")]);
    const lock = { ...hass.entities["lock.gate_door"], entity_id: "lock.gate_door", area_id: "cellar" };
    const entities = { ...hass.entities, "lock.gate_door": lock };
    expect(readHouse(changed(hass, { entities })).doors[0]?.areaId).toBe("cellar");
  });

  it("finds the device of any of its entities", () => {
    expect(deviceOf(registries(DEMO), "camera.mini_camera")?.name).toBe("Mini");
  });

  it("has no device for an entity that is not there", () => {
    expect(deviceOf(registries(DEMO), "camera.nowhere")).toBeUndefined();
  });

  it("knows a device by what the brain calls it", () => {
    const hass = registries([door("Gate", "yard")]);
    const gate = { id: "gate", identifiers: [["kitty", "dev-1"]] as const, config_entries: ["entry"] };
    expect(brainOf(changed(hass, { devices: { gate } }), "lock.gate_door")).toEqual({
      entryId: "entry",
      deviceId: "dev-1",
      asks: true,
    });
  });

  it("knows nothing of what belongs to another integration", () => {
    expect(brainOf(registries(DEMO), "light.hall")).toBeUndefined();
  });

  it("knows nothing of a device without an identifier of KITTY", () => {
    expect(brainOf(registries(DEMO), "lock.workshop_door_door")).toBeUndefined();
  });
});

describe("what was read of a house", () => {
  const hass = registries(DEMO);

  it("holds while only states change", () => {
    expect(isOutdated(hass, changed(hass, { states: { ...hass.states } }))).toBe(false);
  });

  it("holds while other integrations come and go", () => {
    expect(isOutdated(hass, changed(hass, { states: { ...hass.states, "light.new": {} } }))).toBe(false);
  });

  it("is outdated when an area was renamed", () => {
    expect(isOutdated(hass, changed(hass, { areas: { ...hass.areas } }))).toBe(true);
  });

  it("is outdated when an entity of KITTY has gone", () => {
    const { "lock.workshop_door_door": _gone, ...rest } = hass.states;
    expect(isOutdated(hass, changed(hass, { states: rest }))).toBe(true);
  });
});
