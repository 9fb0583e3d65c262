/** What waits for people, with the buttons of whoever looks. */

import { mdiCheckCircleOutline } from "@mdi/js";
import { css, html, LitElement, nothing } from "lit";
import { property, state } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";
import type { Hass } from "../data/hass";
import { Live } from "../data/live";
import { pageLanguage, t, words } from "../i18n";
import { define } from "../ui/define";
import "../ui/icon";
import { unknown } from "../ui/states";
import { shared } from "../ui/styles";
import { KittyCard } from "./card";
import "../ui/decision";
import { type Request, waitingOf } from "../ui/requests";
import type { ConfigForm, GridOptions } from "./hass";
import { readHouse } from "./house";

export interface ApprovalsCardConfig {
  readonly type: string;
  readonly title?: string;
  /** Only what is about these areas; without it, everything. */
  readonly areas?: readonly string[];
  /** Shows nothing at all while nothing waits. */
  readonly hide_empty?: boolean;
}

const FIELDS = ["title", "areas", "hide_empty"] as const;
type Field = (typeof FIELDS)[number];

@define("kitty-approvals")
export class KittyApprovalsCard extends KittyCard {
  @state() private config: ApprovalsCardConfig | undefined;
  @property({ type: Boolean }) preview = false;
  /** A hidden card must still hear when something waits. */
  readonly connectedWhileHidden = true;
  @state() private waiting: ReadonlyMap<string, number> = new Map();

  static getConfigForm(): ConfigForm {
    const language = pageLanguage();
    const isField = (name: string): name is Field => (FIELDS as readonly string[]).includes(name);
    return {
      schema: [
        { name: "title", selector: { text: {} } },
        { name: "areas", selector: { area: { multiple: true, entity: { integration: "kitty" } } } },
        { name: "hide_empty", selector: { boolean: {} } },
      ],
      computeLabel: ({ name }) => (isField(name) ? words(language, `cards.approvals.fields.${name}`) : undefined),
    };
  }

  static getStubConfig(): Omit<ApprovalsCardConfig, "type"> {
    return {};
  }

  setConfig(config: ApprovalsCardConfig): void {
    this.config = config;
  }

  getCardSize(): number {
    return 3;
  }

  getGridOptions(): GridOptions {
    return { columns: 12, min_columns: 6, rows: "auto" };
  }

  protected override get shown(): readonly string[] {
    return [];
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
      .card {
        display: grid;
        gap: var(--space);
        box-shadow: var(--ha-card-box-shadow, none);
      }
    `,
  ];

  override render() {
    const { config } = this;
    if (config === undefined) return nothing;
    const { total } = this;
    return html`<section class="card" aria-label=${config.title || this.t("cards.dashboard.waiting")}>
      ${config.title ? html`<h2>${config.title}</h2>` : nothing}
      ${this.brains.map(
        (entryId) => html`<kitty-approval-list
          .hass=${this.hass}
          .entryId=${entryId}
          .areas=${config.areas}
          @waiting=${(event: CustomEvent<number>) => this.counted(entryId, event.detail)}
        ></kitty-approval-list>`,
      )}
      ${total === 0 ? this.nothing() : nothing}
    </section>`;
  }

  override updated(): void {
    const hidden = this.config?.hide_empty === true && this.total === 0 && !this.preview;
    if (hidden === this.hidden) return;
    this.hidden = hidden;
    // So that the dashboard keeps no place for it.
    const detail = { value: !hidden };
    this.dispatchEvent(new CustomEvent("card-visibility-changed", { bubbles: true, composed: true, detail }));
  }

  private get total(): number {
    return [...this.waiting.values()].reduce((sum, n) => sum + n, 0);
  }

  private nothing() {
    if (this.brains.some((entryId) => this.isAway(entryId))) return unknown(this.hass);
    return html`<p class="row muted">
      <kitty-icon .path=${mdiCheckCircleOutline}></kitty-icon>${this.t("cards.approvals.nothing")}
    </p>`;
  }

  /** The config entries of the brains; one undefined where Home Assistant is to find the only one. */
  private get brains(): readonly (string | undefined)[] {
    const found = readHouse(this.hass).brains.map((brain) => this.hass.devices[brain.id]?.config_entries[0]);
    return found.length > 1 ? found : [undefined];
  }

  private counted(entryId: string | undefined, n: number): void {
    this.waiting = new Map(this.waiting).set(entryId ?? "", n);
  }
}

/** The requests of one brain. Fires `waiting` with how many there are. */
@define("kitty-approval-list")
export class KittyApprovalList extends LitElement {
  @property({ attribute: false }) hass!: Hass;
  @property({ attribute: false }) entryId: string | undefined;
  @property({ attribute: false }) areas: readonly string[] | undefined;

  private readonly events = new Live<"events", Request>(this, "events");
  private told = -1;

  static override styles = [
    shared,
    css`
      :host {
        display: grid;
        gap: var(--space);
      }
      /* Still there for those who listen, but no gap for those who look. */
      :host([empty]) {
        position: absolute;
      }
      kitty-decision + kitty-decision {
        border-block-start: var(--line);
        padding-block-start: var(--space);
      }
    `,
  ];

  private get waiting(): readonly Request[] {
    const { areas } = this;
    const fits = (event: Request) => areas === undefined || areas.includes(event.zone_id ?? "");
    return waitingOf(this.events.rows.values()).filter(fits);
  }

  private get failed(): boolean {
    return this.events.failure !== null && !this.events.loaded;
  }

  override render() {
    if (this.failed) return html`<p class="muted" role="alert">${this.events.failure?.message}</p>`;
    return html`<div class="sr" role="status">${t(this.hass, "cards.approvals.waiting", { n: this.waiting.length })}</div>
      ${repeat(
        this.waiting,
        (event) => event.id,
        (event) => html`<kitty-decision .hass=${this.hass} .entryId=${this.entryId} .event=${event}></kitty-decision>`,
      )}`;
  }

  override updated(): void {
    const n = this.waiting.length;
    this.toggleAttribute("empty", n === 0 && !this.failed);
    if (n === this.told) return;
    this.told = n;
    this.dispatchEvent(new CustomEvent("waiting", { detail: n }));
  }
}
