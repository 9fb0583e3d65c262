import { describe, expect, it } from "vitest";
import type { Registries, RegistryDevice } from "../../src/cards/house";
import { approvalsSuggestion, isSupported, printSuggestion } from "../../src/cards/suggest";
import { BRAIN, camera, door, outlet, printer, registries } from "./registries";

/** Returns a house whose devices the brain knows. */
function house(): Registries {
  const hass = registries([
    BRAIN,
    printer("Mini", "attic"),
    door("Gate", "yard"),
    outlet("Laser", "yard"),
    camera("Eye", "yard"),
  ]);
  const devices = Object.values(hass.devices).map((one): [string, RegistryDevice] => [
    one.id,
    one.id === "hall" ? one : { ...one, identifiers: [["kitty", `dev-${one.id}`]], config_entries: ["entry"] },
  ]);
  return { ...hass, devices: Object.fromEntries(devices) };
}

describe("what is proposed", () => {
  it("is the print card for any entity of a printer", () => {
    expect(printSuggestion(house(), "camera.mini_camera")?.config).toEqual({
      type: "custom:kitty-print",
      entity: "sensor.mini_printer_status",
    });
  });

  it("is no print card for a door", () => {
    expect(printSuggestion(house(), "lock.gate_door")).toBeNull();
  });

  it("is no print card for another integration", () => {
    expect(printSuggestion(house(), "light.hall")).toBeNull();
  });

  it("is the approvals card for the count of what waits", () => {
    expect(approvalsSuggestion(house(), "sensor.kitty_pending_approvals", "x")?.config).toEqual({
      type: "custom:kitty-approvals",
    });
  });

  it("is a tile with our buttons for a door", () => {
    expect(approvalsSuggestion(house(), "lock.gate_door", "Decide")).toEqual({
      label: "Decide",
      config: {
        type: "tile",
        entity: "lock.gate_door",
        features: [{ type: "lock-commands" }, { type: "custom:kitty-decide" }],
      },
    });
  });

  it("is no tile with our buttons for a camera", () => {
    expect(approvalsSuggestion(house(), "camera.eye", "x")).toBeNull();
  });

  it("is no tile with our buttons for another integration", () => {
    expect(approvalsSuggestion(house(), "light.hall", "x")).toBeNull();
  });
});

describe("our feature", () => {
  it("fits what people are asked about", () => {
    expect(isSupported(house(), { entity_id: "switch.laser_power" })).toBe(true);
  });

  it("does not fit what nobody is asked about", () => {
    expect(isSupported(house(), { entity_id: "sensor.kitty_stock" })).toBe(false);
  });

  it("does not fit a tile without an entity", () => {
    expect(isSupported(house(), {})).toBe(false);
  });
});
