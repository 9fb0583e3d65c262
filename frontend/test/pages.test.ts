import { expect, test } from "vitest";
import { type AuditRow, asCsv, asked, NO_FILTER, summary } from "../src/pages/audit/rows";
import { columns, dense, slowest, timing } from "../src/pages/health/times";

const ROW: AuditRow = {
  seq: 7,
  at: 1_795_000_000,
  kind: "approved",
  user_id: "anna",
  device_id: null,
  event_id: null,
  command_id: null,
  data: { intent: "unlock", device: "Door", channel: "mobile", params: {}, note: null },
  hash: "ab",
};

const named = (what: string, which: string) => `${what}: ${which}`;

test("what was left empty is not asked for", () => {
  expect(asked({ ...NO_FILTER, kind: "approved", device: "d" })).toEqual({ kind: "approved", device_id: "d" });
});

test("a time that was chosen is one of the browser", () => {
  const chosen = "2026-11-21T13:05";
  expect(asked({ ...NO_FILTER, since: chosen })).toEqual({ since: new Date(2026, 10, 21, 13, 5).toISOString() });
});

test("a row tells in a line what no column has", () => {
  expect(summary(ROW, named, () => undefined)).toBe("channel: mobile");
});

test("a row says what it has words for, and is silent about what says nothing", () => {
  const row = { ...ROW, data: { channel: "mobile", outcome: "acked", key: "evidence/1", sha256: "ab", tries: 2 } };
  const words: Record<string, string> = { channel: "by phone", outcome: "" };
  expect(summary(row, named, (name) => words[name])).toBe("by phone · tries: 2");
});

test("only where a clock would repeat itself it shows seconds", () => {
  expect(dense([0, 60, 120])).toBe(false);
  expect(dense([0, 20, 40])).toBe(true);
  // Sixty looks in an hour are drawn two by two.
  expect(dense(Array.from({ length: 60 }, (_, at) => at * 30))).toBe(false);
  expect(dense([])).toBe(false);
});

test("a file quotes what it must, and holds no formula", () => {
  const [head, line] = asCsv([{ ...ROW, kind: '=1+"1"' }]).split("\r\n");
  expect(head).toBe("seq,at,kind,user_id,device_id,event_id,command_id,data,hash");
  expect(line).toContain(`"7","2026-11-18T11:06:40.000Z","'=1+""1""","anna",""`);
});

test("of many looks a line keeps the slowest of every stretch", () => {
  const at = Array.from({ length: 60 }, (_, one) => one);
  const figures = at.map((one) => (one === 7 ? 99 : 1));
  const [line] = columns({ at, parts: { a: figures } }, String);
  expect(line?.points.length).toBe(30);
  expect(line?.points[3]).toEqual({ label: "6", value: 99 });
});

test("a part that joined later counts as nothing before", () => {
  const [line] = columns({ at: [1, 2], parts: { a: [null, 4] } }, String);
  expect(line?.points.map((point) => point.value)).toEqual([0, 4]);
});

test("only the lines that reach highest are drawn", () => {
  const lines = [3, 9, 1, 7, 5].map((value) => ({ name: String(value), points: [{ label: "", value }] }));
  expect(slowest(lines).map((one) => one.name)).toEqual(["9", "7", "5", "3"]);
});

test("when work comes again is understood, in all ways in which it is written", () => {
  expect(timing("every 15m")).toEqual({ every: 900, days: [], at: "", zone: "" });
  expect(timing("daily 12:00")).toEqual({ every: null, days: [], at: "12:00", zone: "" });
  expect(timing("weekly mon,thu 13:00 Europe/Berlin")).toEqual({
    every: null,
    days: [0, 3],
    at: "13:00",
    zone: "Europe/Berlin",
  });
});

test("a timing of another kind is left as it is", () => {
  expect([timing("weekly someday 13:00"), timing("when it rains")]).toEqual([null, null]);
});
