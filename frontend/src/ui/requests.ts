/** What may be said about a request, and by whom; nothing here looks at the page. */

import type { Link, SafetyEvent } from "../data/types";

/** A request with who already stands behind it: those who approved, and who asked with their own finger. */
export interface Request extends SafetyEvent {
  readonly people: string[];
}

export interface Say {
  readonly approve: boolean;
  readonly deny: boolean;
  /** Takes back what one has asked for oneself. */
  readonly withdraw: boolean;
}

const NOTHING: Say = { approve: false, deny: false, withdraw: false };

export type Deafness = "brain_away" | "not_loaded" | NonNullable<Link["trouble"]>;

/** Returns what keeps anybody from being heard by a brain, the only one where none is named; null if nothing does. */
export function deafness(brains: readonly Link[], entryId: string | undefined): Deafness | null {
  const brain = entryId === undefined ? brains[0] : brains.find((one) => one.entry_id === entryId);
  if (brain === undefined || brain.connected) return null;
  return brain.trouble ?? (brain.loaded ? "brain_away" : "not_loaded");
}

/** Returns what this person may say now to a brain that listens; it and Home Assistant judge once more. */
export function maySay(event: Request, userId: string | undefined, now: number, heard = true): Say {
  if (!heard || !event.may_control || userId === undefined || event.status !== "pending" || event.expires_at <= now)
    return NOTHING;
  const own = event.initiated_by === userId;
  const said = event.approved_by.includes(userId);
  return { approve: !said && event.eligible.includes(userId), deny: !own && !said, withdraw: own };
}

/** Returns the requests that wait, the one that ends first in front; of one device where one is named. */
export function waitingOf(events: Iterable<Request>, deviceId?: string): readonly Request[] {
  return [...events]
    .filter((event) => event.status === "pending" && (deviceId === undefined || event.device_id === deviceId))
    .sort((one, other) => one.expires_at - other.expires_at || one.id.localeCompare(other.id));
}

/** Tells whether its parameters or protective equipment must be seen before anybody says yes. */
export function mustBeRead(event: Request): boolean {
  return event.requires_ppe || Object.keys(event.params).length > 0;
}

/** Signs that are not seen, or turn around what stands beside them. */
const UNSEEN = /[\p{Cc}\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu;

/** Returns foreign words as they are written: people must not approve what only looks like something else. */
export function legible(text: string): string {
  return text.replace(UNSEEN, "\ufffd");
}

/** Says a parameter with its value; undefined where there are no words for it. */
export type Words = (key: string, value: string) => string | undefined;

/** Returns the parameters of a request in words; one that has none is `named` as it is: people approve all of it. */
export function detailsOf(
  event: Pick<Request, "params">,
  words: Words,
  named: (what: string, which: string) => string,
): readonly string[] {
  return Object.entries(event.params).map(([name, value]) => {
    const shown = legible(typeof value === "object" ? JSON.stringify(value) : String(value));
    return words(`${name}${value === false ? "_not" : ""}`, shown) ?? named(legible(name), shown);
  });
}
