/// <reference types="vite/client" />
import { expect, test } from "vitest";
import { words } from "../src/i18n";

const sources = import.meta.glob<string>("../src/**/*.ts", { query: "?raw", import: "default", eager: true });

test("a name and what is named are put together by the language, not by hand", () => {
  const byHand = Object.entries(sources).filter(([, text]) => /\}["<>/a-z0-9]*: \$\{|\}: \s*$/m.test(text));
  expect(byHand.map(([name]) => name)).toEqual([]);
  expect(Object.keys(sources).length).toBeGreaterThan(50);
});

test("French puts a space that does not break before a colon", () => {
  const said = ["en", "de", "fr"].map((one) => words(one, "common.named", { what: "A", which: "B" }));
  expect(said).toEqual(["A: B", "A: B", "A\u00a0: B"]);
});
