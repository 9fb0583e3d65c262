import { expect, test } from "vitest";
import { merged } from "../src/data/live";

test("the first message replaces all rows, later ones change, add and remove some", () => {
  const first = merged(new Map([["old", 0]]), { rows: { a: 1, b: 2 } });
  expect([...first]).toEqual([
    ["a", 1],
    ["b", 2],
  ]);
  const second = merged(first, { changed: { b: 3, c: 4 }, removed: ["a"] });
  expect([...second]).toEqual([
    ["b", 3],
    ["c", 4],
  ]);
  expect(first.get("a")).toBe(1);
});
