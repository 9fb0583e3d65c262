/** Our own words; those of entities, actions and errors are Home Assistant's translations of the integration. */

import type { Hass } from "../data/hass";
import de from "./de.json" with { type: "json" };
import en from "./en.json" with { type: "json" };
import fr from "./fr.json" with { type: "json" };

type Leaves<T> = {
  [K in keyof T & string]: T[K] extends string ? K : `${K}.${Leaves<T[K]>}`;
}[keyof T & string];

type Plain<K extends string> = K extends `${infer Base}#${string}` ? Base : K;

/** Every key of en.json; one that counts is written once: `jobs` for `jobs#one` and `jobs#other`. */
export type Key = Plain<Leaves<typeof en>>;
export type Values = Record<string, string | number>;

type Tree = { [key: string]: string | Tree };
const LANGUAGES: Record<string, Tree> = { de, en, fr };

function leaf(tree: Tree | undefined, key: string): string | undefined {
  let at: string | Tree | undefined = tree;
  for (const step of key.split(".")) at = typeof at === "object" ? at[step] : undefined;
  return typeof at === "string" ? at : undefined;
}

function inLanguage(language: string, key: string, count: string | number | undefined): string | undefined {
  const tree = LANGUAGES[language];
  if (typeof count === "number") {
    const form = new Intl.PluralRules(language).select(count);
    const counted = leaf(tree, `${key}#${form}`) ?? leaf(tree, `${key}#other`);
    if (counted !== undefined) return counted;
  }
  return leaf(tree, key);
}

/** Returns words in a language, else in English; `n` among the values chooses the plural. */
export function words(language: string, key: Key, values: Values = {}): string {
  const base = language.split("-")[0] ?? "en";
  const found = inLanguage(base, key, values.n) ?? inLanguage("en", key, values.n) ?? key;
  return found.replaceAll(/\{(\w+)\}/g, (all, name: string) => {
    const value = values[name];
    return typeof value === "number" ? new Intl.NumberFormat(language).format(value) : (value ?? all);
  });
}

/** Returns words in the language of this person. */
export function t(hass: Hass | undefined, key: Key, values?: Values): string {
  return words(hass?.language ?? "en", key, values);
}

/** Returns the language of the page, for words that are needed where there is no `hass`. */
export function pageLanguage(): string {
  return document.querySelector("html")?.lang || navigator.language;
}
