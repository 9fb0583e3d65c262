import { describe, expect, it } from "vitest";
import type { Device } from "../../src/cards/house";
import { readPrint } from "../../src/cards/print";
import type { EntityState } from "../../src/data/hass";

const DEVICE: Device = {
  id: "mini",
  name: "Mini",
  areaId: null,
  entities: {
    "sensor.printer_status": ["sensor.status"],
    "sensor.progress": ["sensor.progress"],
    "sensor.remaining": ["sensor.remaining"],
    "sensor.layer": ["sensor.layer"],
    "sensor.layers": ["sensor.layers"],
    "sensor.filament": ["sensor.filament"],
    "sensor.bed": ["sensor.bed"],
    "binary_sensor.vision_problem": ["binary_sensor.vision_problem"],
    "camera.camera": ["camera.mini"],
    "image.frame": ["image.frame"],
    "button.pause": ["button.pause"],
    "button.cancel": ["button.cancel"],
    "button.false_alarm": ["button.false_alarm"],
  },
};

type Said = string | [state: string, attributes: Record<string, unknown>];

function states(said: Record<string, Said>): Record<string, EntityState> {
  return Object.fromEntries(
    Object.entries(said).map(([entity_id, one]) => {
      const [state, attributes] = typeof one === "string" ? [one, {}] : one;
      return [entity_id, { entity_id, state, attributes, last_changed: "" }];
    }),
  );
}

function read(said: Record<string, Said>) {
  return readPrint(DEVICE, states(said));
}

describe("a print card", () => {
  it("says that a printer without a state is off line", () => {
    expect(read({ "sensor.status": "unavailable" }).mood).toBe("offline");
  });

  it("takes an aborted print for a printer that rests", () => {
    expect(read({ "sensor.status": "aborted" }).mood).toBe("idle");
  });

  it("takes a state that it does not know for a printer that rests", () => {
    expect(read({ "sensor.status": "dancing" }).mood).toBe("idle");
  });

  it("shows how far the running print is", () => {
    expect(read({ "sensor.status": "printing", "sensor.progress": "41.5" }).progress).toBe(41.5);
  });

  it("shows no progress of a print that is long over", () => {
    expect(read({ "sensor.status": "idle", "sensor.progress": "41.5" }).progress).toBeNull();
  });

  it("shows a completed print as whole", () => {
    expect(read({ "sensor.status": "completed" }).progress).toBe(100);
  });

  it("knows the time that is left in the unit that a person chose", () => {
    const left: Said = ["1.5", { unit_of_measurement: "h" }];
    expect(read({ "sensor.status": "printing", "sensor.remaining": left }).leftS).toBe(5_400);
  });

  it("does not guess a unit that it does not know", () => {
    const left: Said = ["2", { unit_of_measurement: "fortnights" }];
    expect(read({ "sensor.status": "printing", "sensor.remaining": left }).leftS).toBeNull();
  });

  it("shows the layer alone where the printer does not tell how many there are", () => {
    expect(read({ "sensor.status": "printing", "sensor.layer": "7" }).layer).toBe("7");
  });

  it("shows the layer of how many", () => {
    expect(read({ "sensor.status": "printing", "sensor.layer": "7", "sensor.layers": "90" }).layer).toBe("7/90");
  });

  it("offers only what can be pressed now", () => {
    const found = read({ "button.pause": "unknown", "button.cancel": "unavailable" });
    expect(found.presses).toEqual({ pause: "button.pause" });
  });

  it("raises an alarm while one can be answered", () => {
    expect(read({ "button.false_alarm": "unknown" }).alarm).toBe(true);
  });

  it("knows the picture that an alarm is about", () => {
    expect(read({ "image.frame": "2026-11-21T15:00:00" }).frame?.entity_id).toBe("image.frame");
  });

  it("says that the bed is to be cleared", () => {
    expect(read({ "sensor.bed": "to_clear" }).bedIsToClear).toBe(true);
  });

  it("says that its camera sees nothing", () => {
    expect(read({ "binary_sensor.vision_problem": "on" }).cameraFails).toBe(true);
  });

  it("has no picture while the camera is not there", () => {
    expect(read({ "camera.mini": "unavailable" }).camera).toBeNull();
  });

  it("shows each filament with its colour", () => {
    const slots = [
      { material: "PLA", color_name: "red", color: "FF0000" },
      { material: "PETG", color_name: null, color: null },
      { material: null, color_name: null, color: null },
    ];
    expect(read({ "sensor.filament": ["PLA red, PETG", { slots }] }).filaments).toEqual([
      { text: "PLA red", color: "#ff0000" },
      { text: "PETG", color: null },
    ]);
  });

  it("shows no colour that is none", () => {
    const slots = [{ material: "PLA", color: "url(javascript:1)" }];
    expect(read({ "sensor.filament": ["PLA", { slots }] }).filaments).toEqual([{ text: "PLA", color: null }]);
  });

  it("shows no filament where nothing is said of it", () => {
    expect(read({ "sensor.filament": "PLA" }).filaments).toEqual([]);
  });
});
