import { describe, expect, test } from "vitest";
import { barOf, days, newId, stacked, summed } from "../src/mind/figures";
import { findingsOf, hasSay, isModel, missing, ordered, over, progress, reaches, verdict } from "../src/mind/logic";
import { blocks, inlines, rich, webAddress } from "../src/mind/rich";
import type { Goal, Task } from "../src/mind/types";

describe("words of models and of the web", () => {
  test("what looks like markup stays text", () => {
    expect(blocks("<img src=x onerror=alert(1)>")).toEqual([
      { kind: "paragraph", inlines: [{ kind: "text", text: "<img src=x onerror=alert(1)>" }] },
    ]);
  });

  test("a link is to be read, not to be clicked", () => {
    expect(inlines("see [the bank](javascript:alert(1)) now")).toEqual([
      { kind: "text", text: "see " },
      { kind: "text", text: "the bank (javascript:alert(1)" },
      { kind: "text", text: ") now" },
    ]);
    expect(JSON.stringify(rich("[a](https://evil.example)"))).not.toContain("href");
  });

  test("a few forms are known", () => {
    expect(inlines("a **b** *c* `d` __e__ f")).toEqual([
      { kind: "text", text: "a " },
      { kind: "strong", text: "b" },
      { kind: "text", text: " " },
      { kind: "em", text: "c" },
      { kind: "text", text: " " },
      { kind: "code", text: "d" },
      { kind: "text", text: " " },
      { kind: "strong", text: "e" },
      { kind: "text", text: " f" },
    ]);
    expect(blocks("# Title\ntext\nmore\n\n- one\n  on\n* two\n3. three\n```\ncode **x**\n```\nend")).toMatchObject([
      { kind: "heading" },
      { kind: "paragraph", inlines: [{ text: "text" }, { text: "\n" }, { text: "more" }] },
      { kind: "list", ordered: false, items: [[{ text: "one" }, { text: "\non" }], [{ text: "two" }]] },
      { kind: "list", ordered: true, start: 3 },
      { kind: "code", text: "code **x**" },
      { kind: "paragraph" },
    ]);
  });

  test("code that never ends is code to the end", () => {
    expect(blocks("```\na\nb")).toEqual([{ kind: "code", text: "a\nb" }]);
  });

  test("a long line of signs is taken apart in no time", () => {
    const began = performance.now();
    inlines("*a".repeat(50_000));
    inlines("[".repeat(50_000));
    blocks("`".repeat(50_000));
    expect(performance.now() - began).toBeLessThan(1_000);
  });

  test("only addresses of the web are gone to", () => {
    expect(webAddress("https://a.example/b")?.host).toBe("a.example");
    expect(webAddress("javascript:alert(1)")).toBeNull();
    expect(webAddress("no address")).toBeNull();
  });
});

describe("sums for plots", () => {
  test("every day has its place, also those on which nothing was", () => {
    expect(days("2026-02-27", "2026-03-02")).toEqual(["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"]);
  });

  test("many days are drawn by weeks, which begin on Monday, and a year by months", () => {
    expect(barOf(30)("2026-11-21")).toBe("2026-11-21");
    expect(barOf(90)("2026-11-21")).toBe("2026-11-16");
    expect(barOf(90)("2026-11-22")).toBe("2026-11-16");
    expect(barOf(365)("2026-11-21")).toBe("2026-11-01");
  });

  test("bars of several names stand on the same days", () => {
    const rows = [
      { day: "2026-11-20", name: "a", cost: 1 },
      { day: "2026-11-21", name: "b", cost: 2 },
      { day: "2026-11-21", name: "b", cost: 3 },
      { day: "2025-01-01", name: "b", cost: 9 },
    ];
    const all = ["2026-11-20", "2026-11-21"];
    const found = stacked(
      rows,
      all,
      (row) => row.name,
      (row) => row.cost,
    );
    expect(found).toEqual({
      bars: all,
      series: [
        { name: "a", values: [1, 0] },
        { name: "b", values: [0, 5] },
      ],
    });
  });

  test("the largest sum stands first", () => {
    const found = summed(
      [
        { model: "x", cost: 1 },
        { model: "y", cost: 3 },
        { model: "x", cost: 1 },
      ],
      (row) => row.model,
      (row) => row.cost,
    );
    expect(found.map((one) => [one.name, one.value, one.rows.length])).toEqual([
      ["y", 3, 1],
      ["x", 2, 2],
    ]);
  });

  test("ids have the form of the brain's, and later ones sort behind", () => {
    const first = newId(1_795_000_000_000);
    const later = newId(1_795_000_000_001);
    expect(first).toMatch(/^[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}$/);
    expect(first < later).toBe(true);
  });
});

describe("what pages work out", () => {
  test("the findings of a report stand without its head, sources and limits", () => {
    const report = "Which?\n2026-11-21\n\n- A [1]\n- B [2]\n\nSources\n[1] x, y\n\nWhat could not be done\n- z";
    expect(findingsOf(report)).toEqual(["- A [1]", "- B [2]"]);
    expect(findingsOf("Which?\n2026-11-21\n\nThe sources do not answer this.")).toEqual([
      "The sources do not answer this.",
    ]);
  });

  test("a research that waits or runs is not over", () => {
    expect([over({ status: "pending" }), over({ status: "running" }), over({ status: "failed" })]).toEqual([
      false,
      false,
      true,
    ]);
  });

  test("goals that wait for a person stand first, then the most important, then the newest", () => {
    const goal = (id: string, status: string, priority: number, created_at = 0) =>
      ({ id, status, priority, created_at }) as Goal;
    const goals = [
      goal("over", "completed", 9),
      goal("active", "active", 9),
      goal("low", "identified", 1),
      goal("old", "identified", 5, 1),
      goal("new", "identified", 5, 2),
    ];
    expect(ordered(goals).map((one) => one.id)).toEqual(["new", "old", "low", "active", "over"]);
  });

  test("a project is as far as its tasks are over", () => {
    const tasks = (...all: string[]) => ({ tasks: all.map((status) => ({ status }) as Task) });
    expect(progress(tasks("completed", "failed", "waiting", "pending"))).toBe(0.5);
    expect(progress(tasks())).toBe(0);
  });

  test("shares reach to the whole, money to the larger of both", () => {
    expect(reaches("print_success", 0.6, 0.9)).toEqual([0.6, 0.9]);
    expect(reaches("quality", 50, 80)).toEqual([0.5, 0.8]);
    expect(reaches("cost_per_print", 2, 1)).toEqual([1, 0.5]);
    expect(reaches("incidents_per_week", 0, 0)).toEqual([0, 0]);
  });

  test("what came of it is said only when it was measured and enough was seen", () => {
    const said = (measured_at: number | null, score: number | null) => verdict({ measured_at, score });
    expect([said(null, null), said(1, null), said(1, 0), said(1, 0.2), said(1, -0.2)]).toEqual([
      "outcomes.not_yet",
      "outcomes.unknown",
      "outcomes.same",
      "outcomes.better",
      "outcomes.worse",
    ]);
  });
});

test("a server of tools and a model that is out of use answer nothing", () => {
  const of = (tier: string, enabled: boolean) => isModel({ tier, enabled });
  expect([of("local", true), of("mcp", true), of("local", false)]).toEqual([true, false, false]);
});

test("a research needs what searches first, and what reads second", () => {
  const [tools, off, model] = [
    { tier: "mcp", enabled: true },
    { tier: "mcp", enabled: false },
    { tier: "local", enabled: true },
  ];
  expect([missing([]), missing([off, model]), missing([tools]), missing([tools, model])]).toEqual([
    "search",
    "search",
    "model",
    null,
  ]);
});

describe("who may end what somebody wanted", () => {
  const rights = { may_work: true, may_print_anywhere: true, may_decide: true, may_overrule: false };

  test("everybody what is their own, and what is the house's", () => {
    expect([hasSay("me", "me", rights), hasSay(null, "me", rights)]).toEqual([true, true]);
  });

  test("that of others who has a say over them", () => {
    expect(hasSay("other", "me", rights)).toBe(false);
    expect(hasSay("other", "me", { ...rights, may_overrule: true })).toBe(true);
  });

  test("nobody else, as long as nothing is known of whose it is or who looks", () => {
    expect([hasSay(undefined, undefined, rights), hasSay("other", "me")]).toEqual([false, false]);
  });
});
