/** What the pages of the workshop work out before they draw anything. */

import { describe, expect, test } from "vitest";
import type { Hass } from "../src/data/hass";
import type { Device } from "../src/data/types";
import { deeds } from "../src/pages/shop/deeds";
import { misfits, reasonText } from "../src/pages/shop/reasons";
import {
  css,
  deviceName,
  entityOf,
  grams,
  hasSlots,
  inOrder,
  type PrintFile,
  platesOf,
  type QueueItem,
  type Use,
} from "../src/pages/shop/rows";
import { byDay } from "../src/pages/shop/usage";
import { inPlace } from "../src/ui/steady";

const hass = {
  language: "en",
  config: { time_zone: "UTC", currency: "EUR" },
  states: {},
  entities: {
    "camera.mini": { entity_id: "camera.mini", device_id: "r1", platform: "kitty" },
    "sensor.mini": { entity_id: "sensor.mini", device_id: "r1", platform: "kitty", translation_key: "layer" },
    "camera.other": { entity_id: "camera.other", device_id: "r1", platform: "other" },
  },
  devices: { r1: { id: "r1", name: "Mini", name_by_user: "The small one", identifiers: [], config_entries: [] } },
  areas: {},
} as unknown as Hass;

function device(changes: Partial<Device> = {}): Device {
  return {
    id: "d1",
    driver: "demo",
    name: "Mini",
    kind: "printer",
    zone_id: null,
    capabilities: [],
    online: "online",
    reason: null,
    last_seen: null,
    state: {},
    has_camera: false,
    feeds: null,
    power_off_when_cool: false,
    may_control: true,
    registry_id: "r1",
    ...changes,
  };
}

function item(changes: Partial<QueueItem>): QueueItem {
  return {
    id: "q",
    artifact_id: null,
    title: "Cat",
    status: "queued",
    priority: 5,
    deadline: null,
    start: "asap",
    wanted_device_id: null,
    material: null,
    grams: null,
    estimated_s: null,
    device_id: null,
    planned_start: null,
    planned_end: null,
    reasons: [],
    created_at: 0,
    ...changes,
  };
}

const intents = (one: Device) => deeds(one).map((deed) => deed.intent);

describe("what can be asked of a device", () => {
  const door = { kind: "door", capabilities: ["lock", "unlock"] };
  test("a locked door can be unlocked, with approval", () => {
    expect(deeds(device({ ...door, state: { locked: true } }))).toEqual([
      { intent: "unlock", label: "workshop.unlock", safe: false },
    ]);
  });
  test("an unlocked door can be locked at once", () => {
    expect(intents(device({ ...door, state: { locked: false } }))).toEqual(["lock"]);
  });
  test("of a door that says nothing, both, the safe one first", () => {
    expect(intents(device({ ...door, state: { locked: null } }))).toEqual(["lock", "unlock"]);
  });
  test("a printer pauses while it prints, and not else", () => {
    const can = { capabilities: ["print_pause", "print_resume"] };
    expect(intents(device({ ...can, state: { status: "printing" } }))).toEqual(["print_pause"]);
    expect(intents(device({ ...can, state: { status: "paused" } }))).toEqual([]);
  });
  test("a supply that feeds something hot goes off when that is cool", () => {
    const supply = { kind: "power", capabilities: ["power_on", "power_off"], state: { on: true } };
    expect(deeds(device({ ...supply, power_off_when_cool: true }))[0]?.label).toBe("workshop.off_cool");
    expect(deeds(device(supply))[0]?.label).toBe("workshop.off");
  });
  test("a light is switched either way", () => {
    const light = { kind: "light", capabilities: ["light_on", "light_off"] };
    expect(intents(device({ ...light, state: { on: false } }))).toEqual(["light_on"]);
    expect(intents(device({ ...light, state: { on: true } }))).toEqual(["light_off"]);
  });
  test("what it cannot do is not offered", () => {
    expect(intents(device({ kind: "door", state: { locked: false } }))).toEqual([]);
  });
});

test("the queue is in the order in which it is printed", () => {
  const rows = [
    item({ id: "unplanned", priority: 1 }),
    item({ id: "urgent", priority: 9 }),
    item({ id: "second", planned_start: 20 }),
    item({ id: "prints", status: "printing", planned_start: 30 }),
    item({ id: "first", planned_start: 10, status: "held" }),
    item({ id: "older", priority: 1, created_at: -1 }),
  ];
  expect(inOrder(rows).map((one) => one.id)).toEqual(["prints", "first", "second", "urgent", "older", "unplanned"]);
});

test("somebody chooses among several plates, and not where there is one", () => {
  const file = (facts: PrintFile["facts"]) => platesOf({ id: "f", name: "Cat", created_at: 0, facts });
  expect(file({ plate_numbers: [1, 3] })).toEqual([1, 3]);
  expect([file({ plate_numbers: [2] }), file({}), file(null), platesOf(undefined)]).toEqual([[], [], [], []]);
});

describe("why something waits", () => {
  const names = { device: (id: string | null | undefined) => (id ? `<${id}>` : "?"), item: () => "the vase" };
  test("in words, with what it is about", () => {
    expect(reasonText(hass, { code: "waits_for_priority_of", item: "x" }, names)).toBe(
      "the vase has a higher priority and goes first.",
    );
    expect(reasonText(hass, { code: "filament_short", needed: 120.4, free: 64, material: "PETG" }, names)).toBe(
      "Too little filament: 120 g are needed, 64 g of PETG are free.",
    );
  });
  test("a reason of a newer brain is still told", () => {
    expect(reasonText(hass, { code: "moon_is_full" }, names)).toBe("Reason: moon_is_full");
  });
  test("each printer that does not fit says what is wrong", () => {
    expect(misfits(hass, { code: "no_printer_fits", printers: { a: ["volume", "nozzle"] } }, names)).toEqual([
      "<a>: is too small, has another nozzle",
    ]);
    expect(misfits(hass, { code: "filament_change" }, names)).toEqual([]);
  });
});

test("every reason of the queue has words", () => {
  const names = { device: () => "d", item: () => "i" };
  const codes = [
    ...["same_material", "filament_change", "filament_unknown", "waits_for_deadline_of", "waits_for_priority_of"],
    ...["waits_for_filament_of", "only_printer_that_fits", "cheapest_window", "no_prices", "not_before"],
    ...["duration_unknown", "misses_deadline", "not_proven_best", "waits_for_clear_bed", "asked_to_start"],
    ...["start_failed", "printer_lost", "filament_confirmed", "ventilation_confirmed", "load_filament"],
    ...["no_printer_fits", "waits_for_printer", "filament_short", "waits_for_spool", "held_by_person", "denied"],
    ...["expired", "start_refused", "start_unknown", "start_not_seen", "outcome_not_seen", "ventilation_unconfirmed"],
  ];
  const untold = codes.filter((code) => reasonText(hass, { code }, names).startsWith("Reason:"));
  expect(untold).toEqual([]);
});

describe("what was used, day by day", () => {
  const noon = new Date(2026, 10, 21, 12).getTime();
  const use = (material: string, grams: number, at: Date): Use => ({
    id: "u",
    spool_id: "s",
    material,
    grams,
    cost: null,
    at: at.getTime() / 1000,
  });
  test("each material has its own figures, each day its sum", () => {
    const found = byDay(
      [
        use("PLA", 5, new Date(2026, 10, 21, 1)),
        use("PLA", 7, new Date(2026, 10, 21, 23)),
        use("PETG", 3, new Date(2026, 10, 20, 12)),
      ],
      noon,
      (day) => String(day.getDate()),
      2,
    );
    expect(found).toEqual([
      {
        name: "PETG",
        points: [
          { label: "20", value: 3 },
          { label: "21", value: 0 },
        ],
      },
      {
        name: "PLA",
        points: [
          { label: "20", value: 0 },
          { label: "21", value: 12 },
        ],
      },
    ]);
  });
  test("what is older is not drawn", () => {
    const [found] = byDay([use("PLA", 5, new Date(2026, 10, 1))], noon, () => "", 2);
    expect(found?.points.map((one) => one.value)).toEqual([0, 0]);
  });
});

describe("small words", () => {
  test("a device is called as its people call it", () => {
    expect(deviceName(hass, device())).toBe("The small one");
    expect(deviceName(hass, device({ registry_id: "" }))).toBe("Mini");
    expect(deviceName(hass, undefined)).toBeNull();
  });
  test("only entities of KITTY are taken", () => {
    expect(entityOf(hass, device(), "camera")).toBe("camera.mini");
    expect(entityOf(hass, device(), "sensor", "layer")).toBe("sensor.mini");
    expect(entityOf(hass, device(), "lock")).toBeUndefined();
  });
  test("a colour is one, or grey; nothing else comes into a style", () => {
    expect(css("1a2b3c")).toBe("#1a2b3c");
    expect(css("red; background: url(x)")).toContain("var(");
    expect(css(null)).toContain("var(");
  });
  test("little is weighed to a tenth", () => {
    expect([grams(hass, 0.54), grams(hass, 780.4)]).toEqual(["0.5 g", "780 g"]);
  });
  test("which slot matters where there are several", () => {
    expect(hasSlots(device({ state: { slots: [1, 2] } }))).toBe(true);
    expect(hasSlots(device({ state: { slots: [1] } }))).toBe(false);
    expect(hasSlots(undefined)).toBe(false);
  });
});

describe("a list that stands still", () => {
  const rows = (...ids: string[]) => ids.map((id, at) => ({ id, at }));

  test("what is planned anew shows in the place where it was", () => {
    expect(inPlace(rows("a", "b"), rows("b", "a"))).toEqual([
      { id: "a", at: 1 },
      { id: "b", at: 0 },
    ]);
  });

  test("nothing moves up for what is gone, or down for what is new", () => {
    expect(inPlace(rows("a", "b"), rows("c", "b")).map((one) => one.id)).toEqual(["a", "b", "c"]);
  });
});
