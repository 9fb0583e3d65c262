/** A list that is scrolled to its end: it asks for more of each list, and again where nothing came. */

import { beforeEach, expect, test, vi } from "vitest";
import type { KittyVirtual } from "../src/ui/virtual";

class Watch {
  observe() {}
  disconnect() {}
}

vi.stubGlobal("ResizeObserver", Watch);
const { KittyVirtual: Virtual } = await import("../src/ui/virtual");

const rows = (n: number) => Array.from({ length: n }, (_, at) => at);
let list: KittyVirtual;
let ends: number;

/** Draws the list, seen from a row on. */
function seen(from: number, items = list.items): void {
  Object.assign(list, { items, scrollTop: from * list.rowHeight, clientHeight: 10 * list.rowHeight });
  Reflect.get(list, "measure").call(list);
  list.updated();
}

beforeEach(() => {
  ends = 0;
  list = new Virtual();
  Object.assign(list, { setAttribute: () => {} });
  list.addEventListener("end", () => {
    ends += 1;
  });
});

test("the end of a list is told once", () => {
  seen(0, rows(200));
  expect(ends).toBe(0);
  seen(190);
  seen(190);
  expect(ends).toBe(1);
});

test("the end of another list is told, although it is as long", () => {
  seen(190, rows(200));
  seen(0, rows(200));
  seen(190);
  expect(ends).toBe(2);
});

test("what did not come is asked for again by whoever scrolls there again", () => {
  seen(190, rows(200));
  seen(100);
  seen(190);
  expect(ends).toBe(2);
});
