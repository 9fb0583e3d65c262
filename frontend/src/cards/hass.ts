/** What Home Assistant hands to cards beyond what panels get. */

import type { EntityState, Hass } from "../data/hass";

export interface CardHass extends Hass {
  /** Returns a state as people read it: translated, with its unit. */
  formatEntityState(state: EntityState): string;
  /** Returns an attribute as people read it. */
  formatEntityAttributeValue(state: EntityState, attribute: string): string;
}

/** The size of a card in a dashboard's grid; without rows it is as high as what it shows. */
export interface GridOptions {
  readonly columns: number | "full";
  readonly min_columns?: number;
  readonly rows?: number | "auto";
}

/** A form of a card's options, drawn by Home Assistant's own editor. */
export interface ConfigForm {
  readonly schema: readonly Readonly<Record<string, unknown>>[];
  readonly computeLabel?: (field: { readonly name: string }) => string | undefined;
  readonly computeHelper?: (field: { readonly name: string }) => string | undefined;
  readonly assertConfig?: (config: Record<string, unknown>) => void;
}

/** Opens Home Assistant's dialog about an entity. */
export function showMore(element: HTMLElement, entityId: string): void {
  element.dispatchEvent(new CustomEvent("hass-more-info", { bubbles: true, composed: true, detail: { entityId } }));
}
