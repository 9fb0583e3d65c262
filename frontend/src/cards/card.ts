/** What every card of ours is: a page's words and deeds, drawn anew when a state that it shows has changed. */

import type { PropertyValues } from "lit";
import { property } from "lit/decorators.js";
import { KittyPage } from "../ui/page";
import type { CardHass } from "./hass";

export abstract class KittyCard extends KittyPage {
  /** Always the newest. */
  @property({ attribute: false }) override hass!: CardHass;

  /** The entities whose states the card shows. */
  protected abstract get shown(): readonly string[];

  override shouldUpdate(changed: PropertyValues): boolean {
    const before = changed.get("hass") as CardHass | undefined;
    if (!this.hass) return false;
    if (changed.size > 1 || !changed.has("hass") || before === undefined) return true;
    const { hass } = this;
    return (
      before.localize !== hass.localize ||
      before.locale !== hass.locale ||
      before.entities !== hass.entities ||
      before.devices !== hass.devices ||
      before.connection !== hass.connection ||
      this.shown.some((entityId) => before.states[entityId] !== hass.states[entityId])
    );
  }
}
