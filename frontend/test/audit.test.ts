import { expect, test } from "vitest";
import type { Hass } from "../src/data/hass";
import type { AuditRow } from "../src/pages/audit/rows";
import { besides, KINDS, kindName } from "../src/pages/audit/words";
import { dateTime } from "../src/ui/format";

const ANNA = "a".repeat(32);
const hass = {
  language: "en",
  locale: { language: "en-GB" },
  config: { time_zone: "UTC" },
  states: { "person.anna": { entity_id: "person.anna", attributes: { user_id: ANNA, friendly_name: "Anna" } } },
  areas: { attic: { area_id: "attic", name: "Attic" } },
  localize: () => "",
} as unknown as Hass;
const row = (kind: string, data: AuditRow["data"], user_id: string | null = null): AuditRow => ({
  seq: 1,
  at: 0,
  kind,
  user_id,
  device_id: null,
  event_id: null,
  command_id: null,
  data,
  hash: "",
});
const told = (kind: string, data: AuditRow["data"], user_id: string | null = null) =>
  besides(hass, row(kind, data, user_id), "");

/** How a time is written depends on the machine. */
const THEN = dateTime(hass, 0, true);
const COMMAND = { intent: "unlock", device: "Door" };
const TOKEN = { token: "home" };
/** What the brain writes with each kind, and what is said of it. */
const ROWS: Record<string, [AuditRow["data"], string]> = {
  acked: [{ ...COMMAND, detail: "observed", outcome: "acked" }, "Unlock · The effect was seen"],
  approval_refused: [{ ...COMMAND, reason: "wrong_pin" }, "Unlock · Wrong pin"],
  approved: [{ ...COMMAND, channel: "mobile", ppe: true }, "Unlock · by phone · with protective equipment"],
  attempt: [{ reason: "foreign_token" }, "Somebody else was asked"],
  capability_set: [{ capability: "vision", enabled: false, ...TOKEN }, "Vision · switched off · with the token home"],
  channel_put: [
    { channel_id: "c1", type: "webhook", enabled: true, ...TOKEN },
    "Webhook · switched on · with the token home",
  ],
  channel_removed: [{ channel_id: "c1", ...TOKEN }, "with the token home"],
  claimed: [COMMAND, "Unlock"],
  confirmed: [{ ...COMMAND, channel: "dashboard", ppe: false }, "Unlock · by dashboard · without protective equipment"],
  deferred: [{ ...COMMAND, channel: "api", params: {}, level: "low" }, "Unlock · by a program · Danger: low"],
  denied: [{ ...COMMAND, reason: "superseded" }, "Unlock · Something else was asked for since"],
  duress: [COMMAND, "Unlock"],
  evidence: [{ key: "evidence/1", sha256: "ab" }, ""],
  expired: [COMMAND, "Unlock"],
  failed: [{ ...COMMAND, detail: "not_observed", outcome: "failed" }, "Unlock · It was seen that nothing happened"],
  goal_decided: [
    { goal_id: "g1", title: "Hotter beds", approve: true, budget: 2.5 },
    "Hotter beds · agreed · may spend 2.5",
  ],
  ha_approval_token: [{ reason: "wrong_token", event_id: "e1", at: 0 }, `This phone was not asked · happened ${THEN}`],
  ha_safe_direction: [
    { intent: "lock", channel: "assist", outcome: "acked", at: 0 },
    `Lock · by Assist · outcome: Carried out · happened ${THEN}`,
  ],
  key_forgotten: [{}, ""],
  key_pinned: [TOKEN, "with the token home"],
  late_outcome: [
    { ...COMMAND, detail: "settled by a person", outcome: "failed" },
    "Unlock · somebody looked and said how it ended · outcome: Failed",
  ],
  lockout: [{ user_id: ANNA, until: 0, reason: "wrong_pin" }, `until ${THEN} · Wrong pin`],
  pin_changed: [{ set: true }, "a code was set"],
  pin_duress: [{}, ""],
  pin_refused: [{}, ""],
  pin_reset: [{ person: ANNA }, "Anna"],
  presence_manual: [
    { zone_id: "attic", user_id: ANNA, source: "manual", status: "present", observed_at: 0 },
    "Attic · is there",
  ],
  presence_override: [
    { zone_id: "gone", user_id: "somebody else", source: "override", status: "vacated", observed_at: 0 },
    "Somebody · has left",
  ],
  refused: [
    { ...COMMAND, params: { temperature: 200 }, channel: "voice", reason: "no_approver" },
    "Unlock · temperature: 200 · by voice · No approver",
  ],
  refused_at_claim: [{ ...COMMAND, reason: "device_changed" }, "Unlock · The device was changed meanwhile"],
  requested: [
    { ...COMMAND, channel: "automation", params: {}, level: "high" },
    "Unlock · by an automation · Danger: high",
  ],
  restored: [{ by: "backup", voided: 2 }, "from a backup · 2 open requests are void"],
  rules_changed: [
    { what: ["policies:attic", `users:${ANNA}`, "zones:attic", "zones:gone"] },
    "rules of Attic, Anna, Attic, an area",
  ],
  sent: [COMMAND, "Unlock"],
  unknown: [{ ...COMMAND, detail: "nothing_observed", outcome: "unknown" }, "Unlock · Nobody saw what happened"],
  uploaded: [{ file: "cat.gcode", sha256: "ab", ...TOKEN }, "cat.gcode · with the token home"],
  voided: [{ ...COMMAND, reason: "restored" }, "Unlock · A backup was restored"],
  withdrawn: [COMMAND, "Unlock"],
};

test.each(Object.entries(ROWS))("a row of the kind %s is said in words", (kind, [data, words]) => {
  expect(told(kind, data, ANNA)).toBe(words);
});

test("there is a row of every kind", () => {
  expect(Object.keys(ROWS)).toEqual(KINDS);
});

test("a kind and a field that are none of ours are said as they are written", () => {
  expect(kindName(hass, "ha_note")).toBe("Ha note");
  expect(told("ha_note", { constructor: 1, tries_left: 2 })).toBe("constructor: 1 · tries left: 2");
});

test("what somebody wrote is not read as a code", () => {
  expect(told("failed", { detail: "Nozzle is cold: 20 °C" })).toBe("Nozzle is cold: 20 °C");
});
