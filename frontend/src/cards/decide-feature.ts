/** Approve and Deny under the tile of a device, for whoever of KITTY's people looks at it. */

import { css, html, nothing } from "lit";
import { property, state } from "lit/decorators.js";
import { Live } from "../data/live";
import { define } from "../ui/define";
import { shared } from "../ui/styles";
import { KittyCard } from "./card";
import "../ui/decision";
import { type Request, waitingOf } from "../ui/requests";
import { brainOf } from "./house";
import { type Context, FEATURE } from "./suggest";

@define(FEATURE)
export class KittyDecideFeature extends KittyCard {
  @property({ attribute: false }) context: Context = {};
  /** Shows nothing while nothing waits: where it stands among other things. */
  @property({ type: Boolean }) quiet = false;
  @state() protected config: { readonly type: string } | undefined;

  private readonly events = new Live<"events", Request>(this, "events");

  static getStubConfig(): { type: string } {
    return { type: `custom:${FEATURE}` };
  }

  setConfig(config: { readonly type: string }): void {
    this.config = config;
  }

  static override styles = [
    shared,
    css`
      :host {
        display: block;
      }
      :host([hidden]) {
        display: none;
      }
      p {
        align-items: center;
        block-size: var(--feature-height, 42px);
        display: flex;
        justify-content: center;
      }
    `,
  ];

  protected override get shown(): readonly string[] {
    return [];
  }

  override willUpdate(): void {
    this.entryId = this.brain?.entryId;
  }

  private get brain() {
    return brainOf(this.hass, this.context.entity_id ?? "");
  }

  override render() {
    const { brain } = this;
    const waiting = brain === undefined ? [] : waitingOf(this.events.rows.values(), brain.deviceId);
    const [first] = waiting;
    this.hidden = first === undefined && this.quiet;
    if (first === undefined) {
      return this.quiet
        ? nothing
        : html`<p class="muted">${this.t(this.isAway() ? "common.not_known" : "cards.decide.nothing")}</p>`;
    }
    return this.decision(first);
  }

  private decision(event: Request) {
    return html`<kitty-decision
      ?slim=${!this.quiet}
      .hass=${this.hass}
      .entryId=${this.entryId}
      .event=${event}
    ></kitty-decision>`;
  }
}
