/** Why an item of the queue stands where it stands, in words. */

import type { Hass } from "../../data/hass";
import { type Key, t, type Values } from "../../i18n";
import { dateTime, duration, money, number } from "../../ui/format";
import type { Reason } from "./rows";

/** How things are called to which a reason points. */
export interface Names {
  device(id: string | null | undefined): string;
  item(id: string | undefined): string;
}

function some(hass: Hass, key: string, values: Values): string {
  const text = t(hass, key as Key, values);
  // A newer brain may have reasons that this panel does not know.
  return text === key ? t(hass, "prints.reason.other", { code: key.split(".").at(-1) ?? key }) : text;
}

/** Returns a reason as a sentence. */
export function reasonText(hass: Hass, reason: Reason, names: Names): string {
  const values: Values = {
    device: names.device(reason.device_id),
    devices: (reason.device_ids ?? []).map((id) => names.device(id)).join(", "),
    item: names.item(reason.item),
    material: reason.material ?? "?",
    file: reason.file ?? "",
    error: reason.error ?? "",
    needed: number(hass, reason.needed ?? 0, 0),
    free: number(hass, reason.free ?? 0, 0),
    by: reason.by_s === undefined ? "" : duration(hass, reason.by_s),
    at: reason.at === undefined ? "" : dateTime(hass, reason.at),
    price: typeof reason.price === "number" ? money(hass, reason.price) : "?",
  };
  return some(hass, `prints.reason.${reason.code}`, values);
}

/** Returns for each printer why it cannot print an item; nothing where that is not the trouble. */
export function misfits(hass: Hass, reason: Reason, names: Names): string[] {
  return Object.entries(reason.printers ?? {}).map(([id, what]) =>
    t(hass, "prints.misfit.line", {
      device: names.device(id),
      what: what.map((one) => some(hass, `prints.misfit.${one}`, {})).join(", "),
    }),
  );
}
