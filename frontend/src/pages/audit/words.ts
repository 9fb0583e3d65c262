/** The words of audit rows: what happened, and what a row tells besides. */

import { areaName, type Hass, personName } from "../../data/hass";
import { capabilityName, intentName, plain, reasonName } from "../../data/words";
import { type Key, t, type Values } from "../../i18n";
import en from "../../i18n/en.json" with { type: "json" };
import { dateTime, number } from "../../ui/format";
import { detailsOf } from "../../ui/requests";
import { type AuditRow, summary } from "./rows";

/** Every kind of row that the brain writes. */
export const KINDS: readonly string[] = Object.keys(en.audit.kinds);

/** Codes are words of their own; anything else was written by somebody. */
const CODE = /^[a-z]+(_[a-z]+)*$/;
/** What the brain writes where a person said how it ended. */
const SETTLED = "settled by a person";

/** Says one field; empty where nothing has to be said. */
type Told = (say: Say, value: never, row: AuditRow) => string;

interface Say {
  hass: Hass;
  t: (key: Key, values?: Values) => string;
}

const nothing: Told = () => "";
const asItIs: Told = (_say, value: string) => value;
const yesOrNo =
  (yes: Key, no: Key): Told =>
  (say, value: boolean) =>
    say.t(value ? yes : no);
const below =
  (section: string): Told =>
  (say, value: string) => {
    const key = `${section}.${value}` as Key;
    const words = say.t(key);
    return words === key ? plain(value) : words;
  };

const FIELDS: ReadonlyMap<string, Told> = new Map(
  Object.entries<Told>({
    approve: yesOrNo("audit.agreed", "audit.declined"),
    at: (say, value: number) => say.t("audit.happened", { when: dateTime(say.hass, value, true) }),
    budget: (say, value: number) => (value ? say.t("goals.may_spend", { what: number(say.hass, value, 2) }) : ""),
    by: (say) => say.t("audit.by_backup"),
    capability: (say, value: string) => capabilityName(say.hass, { name: value, title: plain(value) }),
    channel: below("audit.channel"),
    channel_id: nothing,
    detail: (say, value: string) => {
      if (value === SETTLED) return say.t("audit.settled");
      return CODE.test(value) ? reasonName(say.hass, value) : value;
    },
    enabled: yesOrNo("audit.switched_on", "audit.switched_off"),
    event_id: nothing,
    file: asItIs,
    goal_id: nothing,
    level: below("cards.decide.level"),
    observed_at: nothing,
    // Most rows are called by their outcome.
    outcome: (say, value: string, row) =>
      value === row.kind ? "" : say.t("audit.outcome", { what: kindName(say.hass, value) }),
    params: (say, value: Record<string, unknown>) => {
      const words = (key: string, value: string) =>
        say.hass.localize(`component.kitty.selector.parameter.options.${key}`, { value }) || undefined;
      const named = (what: string, which: string) => say.t("common.named", { what, which });
      return detailsOf({ params: value }, words, named).join(" · ");
    },
    person: (say, value: string) => somebody(say, value),
    ppe: yesOrNo("audit.ppe_on", "audit.ppe_off"),
    reason: (say, value: string) => reasonName(say.hass, value),
    seen: nothing,
    set: yesOrNo("audit.code_set", "audit.code_cleared"),
    // The kind says it.
    source: nothing,
    status: below("audit.presence"),
    title: asItIs,
    token: (say, value: string) => say.t("audit.token", { what: value }),
    type: (_say, value: string) => plain(value),
    until: (say, value: number) => say.t("audit.until_then", { when: dateTime(say.hass, value, true) }),
    user_id: (say, value: string, row) => (value === row.user_id ? "" : somebody(say, value)),
    voided: (say, value: number) => say.t("audit.voided", { n: value }),
    what: (say, value: string[]) => [...new Set(value.map((one) => ruled(say, one)))].join(", "),
    zone_id: (say, value: string) => areaName(say.hass, value) ?? "",
  }),
);

function somebody(say: Say, userId: string): string {
  return personName(say.hass, userId) ?? say.t("common.somebody");
}

/** A person, an area or the rules of one, of which the brain says `table:id`. */
function ruled(say: Say, changed: string): string {
  const [table, id = ""] = changed.split(":");
  if (table === "users") return somebody(say, id);
  const area = areaName(say.hass, id) ?? say.t("audit.some_area");
  return table === "policies" ? say.t("audit.rules_of", { area }) : area;
}

/** What happened, in our words where there are some. */
export function kindName(hass: Hass, kind: string): string {
  return KINDS.includes(kind) ? t(hass, `audit.kinds.${kind}` as Key) : plain(kind);
}

/** On what device something was asked for, and what a row tells besides, in one line. */
export function besides(hass: Hass, row: AuditRow, device: string): string {
  const say: Say = { hass, t: (key, values) => t(hass, key, values) };
  const told = summary(
    row,
    (what, which) => say.t("common.named", { what, which }),
    (name, value) => FIELDS.get(name)?.(say, value as never, row),
  );
  const intent = typeof row.data.intent === "string" ? intentName(hass, row.data.intent) : "";
  return [intent, device, told].filter(Boolean).join(" · ");
}
