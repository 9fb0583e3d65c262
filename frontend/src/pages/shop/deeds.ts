/** What can be asked of a device, as it is now. */

import type { Device } from "../../data/types";
import type { Key } from "../../i18n";
import { printerState } from "./rows";

export interface Deed {
  intent: string;
  label: Key;
  /** Is done at once; else people may have to approve it. */
  safe: boolean;
}

/** Returns what can be asked of a device as it is now; what makes it safer comes first. */
export function deeds(device: Device): Deed[] {
  const can = (intent: string) => device.capabilities.includes(intent);
  const found: Deed[] = [];
  const add = (intent: string, label: Key, safe: boolean) => {
    if (can(intent)) found.push({ intent, label, safe });
  };
  const { locked, on } = device.state as { locked?: boolean | null; on?: boolean | null };
  if (device.kind === "door") {
    if (locked !== true) add("lock", "workshop.lock", true);
    if (locked !== false) add("unlock", "workshop.unlock", false);
  } else if (device.kind === "printer") {
    const { status } = printerState(device);
    if (status === "printing" || status === "preparing") add("print_pause", "workshop.pause", true);
  } else if (device.kind === "light") {
    if (on !== false) add("light_off", "workshop.light_off", true);
    if (on !== true) add("light_on", "workshop.light_on", true);
  } else {
    if (on !== false) add("power_off", device.power_off_when_cool ? "workshop.off_cool" : "workshop.off", true);
    if (on !== true) add("power_on", "workshop.on", false);
  }
  return found;
}
