/** Approvals: what waits for people, what they decided lately, and what was seen when it was carried out. */

import { mdiCheckDecagramOutline, mdiImageOutline } from "@mdi/js";
import { css, html, nothing } from "lit";
import { state } from "lit/decorators.js";
import { repeat } from "lit/directives/repeat.js";
import type { Listing } from "../data/fetched";
import { areaName, personName } from "../data/hass";
import { Live } from "../data/live";
import type { SafetyEvent } from "../data/types";
import { intentName, loadWords, reasonName } from "../data/words";
import "../ui/decision";
import { define } from "../ui/define";
import "../ui/dialog";
import { dateTime, relative } from "../ui/format";
import "../ui/icon";
import { KittyPage } from "../ui/page";
import { type Request, waitingOf } from "../ui/requests";
import { empty, failed } from "../ui/states";
import { shared } from "../ui/styles";

const PAGE = 20;

/** A request as kitty.get_requests tells it: with names of people. */
interface Decided {
  id: string;
  device_id: string;
  device_name: string;
  zone_id: string | null;
  intent: string;
  level: SafetyEvent["level"];
  status: SafetyEvent["status"];
  created_at: number;
  reason: string | null;
  requested_by: string | null;
  approved_by: (string | null)[];
  denied_by: string | null;
  has_evidence: boolean;
}

const WITHDRAWN = "withdrawn";
/** Reasons that the state says already. */
const SAID = new Set(["denied", "expired", WITHDRAWN]);
const LOOK: Record<SafetyEvent["status"], string> = { pending: "", approved: "good", denied: "bad", expired: "" };

@define("kitty-page-approvals")
export class KittyPageApprovals extends KittyPage {
  private readonly events = new Live<"events", Request>(this, "events");
  private readonly devices = new Live(this, "devices");
  @state() private evidence: { title: string; url: string } | undefined;
  /** Fetched anew when something else is over. */
  private readonly decided = this.listed<Decided>(
    async (cursor) => {
      const asked = { ...this.here, limit: PAGE, ...(cursor ? { cursor } : {}) };
      const told = await this.call<Listing<Decided>>("get_requests", asked);
      return { ...told, items: told.items.filter((one) => one.status !== "pending") };
    },
    () => (this.events.loaded ? this.over : null),
  );

  static override styles = [
    shared,
    css`
      .grid {
        align-items: start;
      }
      .request {
        align-content: start;
        display: grid;
        gap: 12px;
        overflow: hidden;
      }
      .request img {
        aspect-ratio: 16 / 9;
        border-radius: 8px;
        inline-size: 100%;
        object-fit: cover;
      }
      ul {
        list-style: none;
        margin: 0;
        padding: 0;
      }
      li {
        align-items: center;
        border-block-end: var(--line);
        display: grid;
        gap: 4px 12px;
        grid-template-columns: 92px minmax(0, 1fr) auto;
        min-height: 56px;
        padding-block: 8px;
      }
      li:last-child {
        border: none;
      }
      li .chip {
        justify-content: center;
      }
      .shown {
        border-radius: 8px;
        inline-size: 100%;
      }
      @media (max-width: 600px) {
        li {
          grid-template-columns: minmax(0, 1fr) auto;
        }
        li .chip {
          grid-column: 1 / -1;
          justify-self: start;
        }
      }
      @media (max-width: 400px) {
        li .end {
          grid-column: 1 / -1;
          justify-content: space-between;
        }
      }
    `,
  ];

  override connectedCallback(): void {
    super.connectedCallback();
    void loadWords(this.hass).then(() => this.requestUpdate());
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.forgetPicture();
  }

  private get over(): string {
    const over = this.events.all.filter((one) => one.status !== "pending");
    return over
      .map((one) => `${one.id} ${one.status} ${one.evidence_key}`)
      .sort()
      .join();
  }

  override render() {
    const { failure, loaded } = this.events;
    if (failure && !loaded) return failed(this.hass, failure);
    if (!loaded) return this.notYet;
    const waiting = waitingOf(this.events.rows.values());
    return html`<div class="stack">
      <h2>${this.t("approvals.waiting")}</h2>
      ${waiting.length || !this.isAway() ? html`<p class="sr" role="status">${this.t("approvals.count", { n: waiting.length })}</p>` : nothing}
      ${
        waiting.length
          ? html`<div class="grid">
              ${repeat(
                waiting,
                (event) => event.id,
                (event) => this.request(event),
              )}
            </div>`
          : this.isAway()
            ? this.notYet
            : empty(this.t("approvals.none"), mdiCheckDecagramOutline)
      }
      <h2>${this.t("approvals.recent")}</h2>
      ${this.recent()} ${this.picture()}
    </div>`;
  }

  private request(event: Request) {
    const who = event.eligible.map((id) => personName(this.hass, id) ?? this.t("common.somebody"));
    return html`<section class="card request" data-event=${event.id}>
      ${this.view(event)}
      <kitty-decision .hass=${this.hass} .entryId=${this.entryId} .event=${event}></kitty-decision>
      <dl>
        <dt>${this.t("approvals.may_decide")}</dt>
        <dd>${who.length ? who.join(", ") : this.t("common.nobody")}</dd>
        ${
          event.approved_by.length
            ? html`<dt>${this.t("approvals.approved_by")}</dt>
                <dd>${event.approved_by.map((id) => personName(this.hass, id) ?? this.t("common.somebody")).join(", ")}</dd>`
            : nothing
        }
      </dl>
    </section>`;
  }

  /** What a camera of the area shows now: whoever decides wants to see. */
  private view(event: Request) {
    const cameras = this.devices.all.filter(
      (one) => one.has_camera && one.zone_id === event.zone_id && one.online === "online",
    );
    const device = cameras.find((one) => one.id === event.device_id) ?? cameras[0];
    const entity = Object.values(this.hass.entities).find(
      (one) => one.platform === "kitty" && one.device_id === device?.registry_id && one.entity_id.startsWith("camera."),
    );
    const url = entity && this.hass.states[entity.entity_id]?.attributes.entity_picture;
    if (!device || !url) return nothing;
    return html`<img
      src=${this.hass.hassUrl(url)}
      alt=${this.t("approvals.view", { what: device.name })}
      @error=${(error: Event) => {
        (error.target as HTMLElement).hidden = true;
      }}
    />`;
  }

  private recent() {
    const { items, failure, cursor, again } = this.decided;
    if (failure) return failed(this.hass, failure, again);
    if (!items) return this.notYet;
    if (items.length === 0) return empty(this.t("approvals.none_recent"));
    return html`<div class="card">
      <ul>
        ${repeat(
          items,
          (one) => one.id,
          (one) => this.row(one),
        )}
      </ul>
      ${
        cursor
          ? html`<div class="row">
              <button ?disabled=${this.busy.has("more")} @click=${() => this.doing("more", () => this.decided.more())}>${this.t("approvals.more")}</button>
            </div>`
          : nothing
      }
    </div>`;
  }

  private row(one: Decided) {
    const what = this.what(one);
    const where = areaName(this.hass, one.zone_id);
    const withdrawn = one.reason === WITHDRAWN;
    return html`<li>
      <span class="chip ${withdrawn ? "" : LOOK[one.status]}"
        >${this.t(`approvals.status.${withdrawn ? "withdrawn" : one.status}`)}</span
      >
      <div>
        <h3>${what}</h3>
        <p class="muted">${[this.people(one), where].filter(Boolean).join(" · ")}</p>
        ${one.reason && !SAID.has(one.reason) ? html`<p class="muted">${reasonName(this.hass, one.reason)}</p>` : nothing}
      </div>
      <div class="row end">
        <span class="muted" title=${dateTime(this.hass, one.created_at, true)}>${relative(this.hass, one.created_at)}</span>
        ${
          one.has_evidence && this.maySeeEvidence(one)
            ? html`<button
                class="icon"
                aria-label=${this.t("approvals.evidence_of", { what })}
                title=${this.t("approvals.evidence")}
                ?disabled=${this.busy.has(one.id)}
                @click=${() => this.look(one, what)}
              >
                <kitty-icon .path=${mdiImageOutline}></kitty-icon>
              </button>`
            : nothing
        }
      </div>
    </li>`;
  }

  private people(one: Decided): string {
    const asked = one.requested_by ?? this.t("common.nobody");
    const names = one.approved_by.map((name) => name ?? this.t("common.somebody")).join(", ");
    if (one.reason === WITHDRAWN) return this.t("approvals.asked", { asked });
    if (one.status === "denied" && one.denied_by) return this.t("approvals.denied", { asked, who: one.denied_by });
    if (names && names === one.requested_by) return this.t("approvals.confirmed", { asked });
    if (names) return this.t("approvals.approved", { asked, who: names });
    return this.t("approvals.asked", { asked });
  }

  private what(one: Decided): string {
    return this.named(intentName(this.hass, one.intent), one.device_name);
  }

  /** What happened long ago may have shown anything: then only administrators see it. */
  private maySeeEvidence(one: Decided): boolean {
    return this.hass.user?.is_admin || this.events.rows.has(one.id);
  }

  private picture() {
    return html`<kitty-dialog
      .open=${this.evidence !== undefined}
      heading=${this.evidence?.title ?? ""}
      @close=${this.forgetPicture}
    >
      ${
        this.evidence
          ? html`<p class="muted">${this.t("approvals.evidence_about")}</p>
              <img class="shown" src=${this.evidence.url} alt=${this.t("approvals.evidence_of", { what: this.evidence.title })} />`
          : nothing
      }
      <button slot="actions" @click=${this.forgetPicture}>${this.t("common.close")}</button>
    </kitty-dialog>`;
  }

  private readonly forgetPicture = (): void => {
    this.evidence = undefined;
  };

  private async look(one: Decided, title: string): Promise<void> {
    await this.doing(one.id, async () => {
      const found = await this.call<{ content_type: string; image: string }>("get_picture", {
        ...this.here,
        event_id: one.id,
      });
      if (!found.content_type.startsWith("image/")) return;
      this.evidence = { title, url: `data:${found.content_type};base64,${found.image}` };
    });
  }
}
