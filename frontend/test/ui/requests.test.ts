import { describe, expect, it } from "vitest";
import { deafness, detailsOf, legible, maySay, mustBeRead, type Request, waitingOf } from "../../src/ui/requests";

const NOW = 1_000;

function event(change: Partial<Request> = {}): Request {
  return {
    id: "one",
    command_id: "command",
    device_id: "door",
    device_name: "Door",
    zone_id: null,
    intent: "unlock",
    params: {},
    level: "high",
    status: "pending",
    people_needed: 2,
    initiated_by: "demo",
    channel: "frontend",
    created_at: NOW - 10,
    expires_at: NOW + 50,
    resolved_at: null,
    approved_by: [],
    denied_by: null,
    reason: null,
    requires_ppe: false,
    eligible: ["anna"],
    evidence_key: null,
    may_control: true,
    people: [],
    ...change,
  };
}

describe("about a request", () => {
  it("who may decide it may approve and deny", () => {
    expect(maySay(event(), "anna", NOW)).toEqual({ approve: true, deny: true, withdraw: false });
  });

  it("who asked may take it back", () => {
    expect(maySay(event(), "demo", NOW)).toEqual({ approve: false, deny: false, withdraw: true });
  });

  it("who asked may also approve it where they are entitled to", () => {
    expect(maySay(event({ eligible: ["demo"] }), "demo", NOW)).toEqual({ approve: true, deny: false, withdraw: true });
  });

  it("who may not approve may deny all the same", () => {
    expect(maySay(event(), "guest", NOW)).toEqual({ approve: false, deny: true, withdraw: false });
  });

  it("who has approved has nothing more to say", () => {
    expect(maySay(event({ approved_by: ["anna"] }), "anna", NOW)).toEqual({
      approve: false,
      deny: false,
      withdraw: false,
    });
  });

  it("who may only look may say nothing, also of what they asked for", () => {
    const request = event({ may_control: false, eligible: ["anna", "demo"] });
    for (const who of ["anna", "demo"]) {
      expect(maySay(request, who, NOW)).toEqual({ approve: false, deny: false, withdraw: false });
    }
  });

  it("nobody may say anything once its time is over", () => {
    expect(maySay(event(), "anna", NOW + 50)).toEqual({ approve: false, deny: false, withdraw: false });
  });

  it("nobody may say anything once it is decided", () => {
    expect(maySay(event({ status: "denied" }), "anna", NOW)).toEqual({ approve: false, deny: false, withdraw: false });
  });

  it("nobody may say anything who is not known", () => {
    expect(maySay(event(), undefined, NOW)).toEqual({ approve: false, deny: false, withdraw: false });
  });

  it("nobody may say anything to a brain that does not hear it", () => {
    const nothing = { approve: false, deny: false, withdraw: false };
    expect(maySay(event(), "anna", NOW, false)).toEqual(nothing);
    expect(maySay(event(), "demo", NOW, false)).toEqual(nothing);
  });

  it("what is asked for in detail must be read before a yes", () => {
    expect(mustBeRead(event({ params: { file: "vase.gcode" } }))).toBe(true);
  });

  it("protective equipment must be read before a yes", () => {
    expect(mustBeRead(event({ requires_ppe: true }))).toBe(true);
  });

  it("a plain request is said yes to at once", () => {
    expect(mustBeRead(event())).toBe(false);
  });
});

describe("a brain", () => {
  const brain = { entry_id: "one", title: "Brain", connected: true, loaded: true, trouble: null, version: "1" };
  const away = { ...brain, entry_id: "two", connected: false };
  const gone = { ...away, entry_id: "three", loaded: false };

  it("that is connected hears", () => {
    expect(deafness([brain], undefined)).toBeNull();
  });

  it("that is away, or not set up, hears nothing", () => {
    expect(deafness([away], undefined)).toBe("brain_away");
    expect(deafness([gone], undefined)).toBe("not_loaded");
  });

  it("hears nothing before people or Home Assistant have done something about it", () => {
    expect(deafness([{ ...away, trouble: "reauth" }], undefined)).toBe("reauth");
    expect(deafness([{ ...gone, trouble: "failed" }], undefined)).toBe("failed");
    expect(deafness([{ ...brain, trouble: "reauth" }], undefined)).toBeNull();
  });

  it("is the one that is named, where there are several", () => {
    expect(deafness([brain, away, gone], "two")).toBe("brain_away");
    expect(deafness([away, brain], "one")).toBeNull();
  });

  it("of which nothing is known yet may hear", () => {
    expect(deafness([], undefined)).toBeNull();
  });
});

describe("the details of a request", () => {
  const words = (key: string, value: string) =>
    ({ file: `File ${value}`, ventilation_not: "Without ventilation" })[key];
  const named = (what: string, which: string) => `${what}: ${which}`;

  it("are told in words", () => {
    expect(detailsOf(event({ params: { file: "vase.gcode" } }), words, named)).toEqual(["File vase.gcode"]);
  });

  it("have words of their own for a no", () => {
    expect(detailsOf(event({ params: { ventilation: false } }), words, named)).toEqual(["Without ventilation"]);
  });

  it("hide nothing behind signs that nobody sees", () => {
    const params = { file: "vase\u202eedocg.exe\n", "heat\u2066": "\u200f200" };
    expect(detailsOf(event({ params }), words, named)).toEqual([
      "File vase\ufffdedocg.exe\ufffd",
      "heat\ufffd: \ufffd200",
    ]);
    expect(legible("Door\u202e")).toBe("Door\ufffd");
    expect(legible("דלת 👨‍👩‍👧")).toBe("דלת 👨‍👩‍👧");
  });

  it("are shown as they are where there are no words", () => {
    expect(detailsOf(event({ params: { nozzle: 210, slots: [1] } }), words, named)).toEqual([
      "nozzle: 210",
      "slots: [1]",
    ]);
  });
});

describe("what waits", () => {
  const late = event({ id: "late", expires_at: NOW + 90 });
  const other = event({ id: "other", device_id: "laser" });
  const decided = event({ id: "decided", status: "approved" });

  it("comes with what ends first in front, without what is decided", () => {
    const found = waitingOf([late, decided, other, event()]);
    expect(found.map((one) => one.id)).toEqual(["one", "other", "late"]);
  });

  it("is only that of the device that is asked about", () => {
    expect(waitingOf([late, other], "laser").map((one) => one.id)).toEqual(["other"]);
  });
});
