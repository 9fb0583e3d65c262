/** One request and what this person may say about it: approve, deny, or take it back. */

import { mdiCheckBold, mdiCloseThick, mdiUndo } from "@mdi/js";
import { css, html, nothing, type PropertyValues } from "lit";
import { property, state } from "lit/decorators.js";
import { failureOf, send } from "../data/actions";
import { areaName, personName } from "../data/hass";
import { Live } from "../data/live";
import type { Key, Values } from "../i18n";
import "./countdown";
import { define } from "./define";
import "./dialog";
import "./icon";
import { KittyPage } from "./page";
import { type Deafness, deafness, detailsOf, legible, maySay, mustBeRead, type Request, type Say } from "./requests";
import { shared } from "./styles";

/** A finger already on its way to something else must not decide a request that has just appeared. */
const SHOWN_FOR_MS = 1_000;

@define("kitty-decision")
export class KittyDecision extends KittyPage {
  @property({ attribute: false }) event: Request | undefined;
  /** Only the buttons, in the height of one row: a tile around it says what it is about. */
  @property({ type: Boolean, reflect: true }) slim = false;
  @state() private ready = false;
  @state() private asking = false;
  @state() private worn = false;
  /** Whether this person has a code of their own, which the brain wants to hear. */
  @state() private wantsCode = false;
  @state() private code = "";
  private readonly brains = new Live(this, "link", { everywhere: true });
  private timer: ReturnType<typeof setTimeout> | undefined;
  private seen = "";

  static override styles = [
    shared,
    css`
      :host {
        display: block;
      }
      .about {
        display: grid;
        gap: 2px;
        margin-block-end: 8px;
      }
      .top {
        display: flex;
        gap: 8px;
        justify-content: space-between;
        align-items: baseline;
      }
      .buttons {
        display: flex;
        flex-wrap: wrap;
        gap: 8px;
      }
      .buttons button {
        flex: 1 1 auto;
        --icon-size: 20px;
      }
      :host([slim]) .buttons {
        flex-wrap: nowrap;
        gap: var(--feature-button-spacing, 12px);
      }
      :host([slim]) button {
        block-size: var(--feature-height, 42px);
        border-radius: var(--feature-border-radius, 12px);
        flex: 1 1 0;
        min-inline-size: 0;
        padding-inline: 8px;
      }
      :host([slim]) .waits {
        align-items: center;
        block-size: var(--feature-height, 42px);
        display: flex;
        justify-content: center;
      }
      :host([slim]) .waits span {
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      :host([slim]) .buttons .waits {
        flex: 1 1 0;
        min-inline-size: 0;
      }
    `,
  ];

  override connectedCallback(): void {
    super.connectedCallback();
    // Whoever is moved in a list is taken out and put back: what waited begins anew.
    this.requestUpdate("event");
    // Home Assistant's words of intents and parameters; the element is drawn anew when they are there.
    void this.hass?.loadBackendTranslation("selector", "kitty");
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearTimeout(this.timer);
    this.seen = "";
  }

  override willUpdate(changed: PropertyValues): void {
    if (!changed.has("event") || this.seen === this.event?.id) return;
    this.seen = this.event?.id ?? "";
    this.ready = this.asking = this.worn = this.wantsCode = false;
    this.code = "";
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.ready = true;
    }, SHOWN_FOR_MS);
  }

  override render() {
    const { event } = this;
    if (event === undefined || !this.hass) return nothing;
    // What it last said is shown, and may be long over: nobody says anything to a brain that does not hear it.
    const deaf = deafness(this.brains.all, this.entryId);
    const say = maySay(event, this.hass.user?.id, Date.now() / 1_000, deaf === null);
    return html`${this.slim ? nothing : this.about(event)} ${deaf ? this.away(deaf) : this.buttons(event, say)}
      ${this.dialog(event, say)}`;
  }

  private about(event: Request, titled = true) {
    const who = event.initiated_by === null ? this.t("common.nobody") : this.name(event.initiated_by);
    const where = areaName(this.hass, event.zone_id);
    return html`<div class="about">
      <div class="top">
        ${titled ? html`<h3>${this.what(event)}</h3>` : html`<span></span>`}
        <kitty-countdown
          .hass=${this.hass}
          .until=${event.expires_at}
          .total=${event.expires_at - event.created_at}
          @over=${() => this.requestUpdate()}
        ></kitty-countdown>
      </div>
      <p class="muted">${[this.t("cards.decide.asks", { who }), where].filter(Boolean).join(" · ")}</p>
      ${this.details(event).map((line) => html`<p>${line}</p>`)}
      <p class="muted">
        <span class="chip ${event.level === "high" ? "bad" : "warn"}">${this.t(`cards.decide.level.${event.level}`)}</span>
        ${event.people_needed > 1 ? this.t("cards.decide.people", { n: event.people.length, of: event.people_needed }) : nothing}
      </p>
    </div>`;
  }

  private buttons(event: Request, say: Say) {
    if (!say.approve && !say.deny && !say.withdraw) {
      // Once its time is over it waits for nobody; the countdown says so.
      return event.expires_at <= Date.now() / 1_000 ? nothing : this.waits(event);
    }
    return html`<div class="buttons">
      ${say.approve ? this.button("approve", mdiCheckBold, () => this.approve(event), "primary") : nothing}
      ${say.deny ? this.button("deny", mdiCloseThick, () => this.send("deny", event)) : nothing}
      ${say.withdraw ? this.button("withdraw", mdiUndo, () => this.send("withdraw", event)) : nothing}
      ${this.slim && !say.approve ? this.waits(event) : nothing}
    </div>
    ${say.approve || this.slim ? nothing : this.waits(event)}`;
  }

  private button(deed: "approve" | "deny" | "withdraw", icon: string, pressed: () => void, look = "") {
    const word = this.t(`cards.decide.${deed}` satisfies Key);
    const about = this.event === undefined ? word : this.named(word, this.what(this.event));
    return html`<button
      class=${look}
      aria-label=${about}
      title=${about}
      ?disabled=${!this.ready || this.busy.size > 0}
      @click=${pressed}
    >
      <kitty-icon .path=${icon}></kitty-icon>${word}
    </button>`;
  }

  /** Why nobody can say anything now. */
  private away(deaf: Deafness) {
    const why = this.t(`panel.${deaf}`);
    return html`<p class="muted waits" role="status" title=${this.slim ? why : nothing}>
      ${this.slim ? this.t("cards.decide.waits") : why}
    </p>`;
  }

  /** For whom it waits, where this person cannot help. */
  private waits(event: Request) {
    const names = event.eligible.map((id) => this.name(id)).join(", ");
    const words = names ? this.t("cards.decide.waits_for", { names }) : this.t("cards.decide.waits");
    return html`<p class="muted waits" title=${this.slim ? words : nothing}><span>${words}</span></p>`;
  }

  private dialog(event: Request, say: Say) {
    const close = () => {
      this.asking = false;
    };
    return html`<kitty-dialog .open=${this.asking} heading=${this.what(event)} @close=${close}>
      ${this.asking ? this.about(event, false) : nothing}
      ${
        event.requires_ppe
          ? html`<label class="row">
              <input
                type="checkbox"
                .checked=${this.worn}
                @change=${(change: Event) => {
                  this.worn = (change.target as HTMLInputElement).checked;
                }}
              />
              <span class="grow">${this.t("cards.decide.ppe")}</span>
            </label>`
          : nothing
      }
      ${
        this.wantsCode
          ? html`<label class="field">
              ${this.t("cards.decide.code")}
              <input
                type="password"
                autocomplete="off"
                .value=${this.code}
                @input=${(change: Event) => {
                  this.code = (change.target as HTMLInputElement).value;
                }}
              />
            </label>`
          : nothing
      }
      <button slot="actions" @click=${close}>${this.t("common.cancel")}</button>
      <button
        slot="actions"
        class="primary"
        ?disabled=${!say.approve || (event.requires_ppe && !this.worn) || (this.wantsCode && !this.code)}
        @click=${() => {
          close();
          this.sendApproval(event);
        }}
      >
        ${this.t("cards.decide.approve")}
      </button>
    </kitty-dialog>`;
  }

  private approve(event: Request): void {
    this.worn = false;
    // Where only the buttons are shown, nobody has seen yet what they would say yes to.
    this.asking = this.slim ? mustBeRead(event) : event.requires_ppe;
    if (!this.asking) this.sendApproval(event);
  }

  /** Approves; who has a code of their own is asked for it. It goes its own way: actions are recorded. */
  private sendApproval(event: Request): void {
    const code = this.code;
    this.code = "";
    void this.doing("approve", async () => {
      if (code) await send(this.hass, { type: "kitty/code", event_id: event.id, code });
      try {
        await this.call("approve", { event_id: event.id, ...(event.requires_ppe ? { ppe: true } : {}) });
      } catch (error) {
        const { code: why } = failureOf(error);
        this.wantsCode = this.asking = why === "pin_required" || why === "wrong_pin";
        if (why !== "pin_required") throw error;
      }
    });
  }

  private send(action: "deny" | "withdraw", event: Request): void {
    void this.doing(action, () => this.call(action, { event_id: event.id }));
  }

  private what(event: Request): string {
    const what = this.word("intent", event.intent) ?? event.intent.replaceAll("_", " ");
    return this.named(what, legible(event.device_name));
  }

  private details(event: Request): readonly string[] {
    const named = (what: string, which: string) => this.named(what, which);
    return detailsOf(event, (key, value) => this.word("parameter", key, { value }), named);
  }

  private word(selector: "intent" | "parameter", key: string, values?: Values): string | undefined {
    return this.hass.localize(`component.kitty.selector.${selector}.options.${key}`, values) || undefined;
  }

  private name(userId: string): string {
    return personName(this.hass, userId) ?? this.t("common.somebody");
  }
}
