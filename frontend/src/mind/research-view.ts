/** One research: its steps as they happen, what it costs, and in the end what was found, by which sources and in whose words. */

import { mdiAlertCircleOutline, mdiCheckCircle, mdiCircleOutline, mdiOpenInNew, mdiProgressClock } from "@mdi/js";
import { css, html, nothing } from "lit";
import { property } from "lit/decorators.js";
import { personName } from "../data/hass";
import type { Key } from "../i18n";
import { define } from "../ui/define";
import { dateTime, money } from "../ui/format";
import "../ui/icon";
import { KittyPage } from "../ui/page";
import { failed } from "../ui/states";
import { shared } from "../ui/styles";
import { findingsOf, hasSay, over } from "./logic";
import { webAddress } from "./rich";
import type { Research, Step, WholeResearch } from "./types";

const ICONS: Record<Step["status"], string> = {
  running: mdiProgressClock,
  completed: mdiCheckCircle,
  failed: mdiAlertCircleOutline,
};
const STEP_WORDS: Record<Step["status"], Key> = {
  running: "research.step_running",
  completed: "research.step_completed",
  failed: "research.step_failed",
};
const ANSWERED: Record<NonNullable<Research["answered"]>, Key> = {
  yes: "research.answered_yes",
  partly: "research.answered_partly",
  no: "research.answered_no",
};
export const STATUS: Record<Research["status"], Key> = {
  pending: "research.pending",
  running: "research.running",
  completed: "research.completed",
  failed: "research.failed",
  cancelled: "research.cancelled",
};

@define("kitty-research")
export class KittyResearch extends KittyPage {
  @property() researchId = "";
  /** The row that is told live, as long as it goes on. */
  @property({ attribute: false }) live: Research | undefined;
  @property() currency = "EUR";
  /** What is over is no longer told live, and has its report. */
  private readonly past = this.fetched(
    async () => await this.call<WholeResearch>("get_research", { research_id: this.researchId, ...this.here }),
    () => (this.live && !over(this.live) ? null : `${this.researchId} ${this.live !== undefined}`),
  );

  static override styles = [
    shared,
    css`
      ol.steps {
        display: grid;
        gap: 8px;
        list-style: none;
        margin: 0;
        padding: 0;
      }
      .steps li {
        display: grid;
        gap: 0 8px;
        grid-template-columns: auto minmax(0, 1fr);
      }
      .steps .detail {
        grid-column: 2;
      }
      .completed kitty-icon {
        color: var(--success-color, #43a047);
      }
      .failed kitty-icon {
        color: var(--error-color, #db4437);
      }
      .running kitty-icon {
        animation: breathe 1.6s ease-in-out infinite alternate;
        color: var(--primary-color);
      }
      @keyframes breathe {
        from {
          opacity: 0.3;
        }
      }
      ul.found,
      ol.sources {
        display: grid;
        gap: 12px;
        margin: 0;
        padding-inline-start: 20px;
      }
      blockquote {
        border-inline-start: 3px solid var(--divider-color, #e0e0e0);
        color: var(--secondary-text-color);
        margin: 4px 0 0;
        overflow-wrap: anywhere;
        padding-inline-start: 12px;
      }
      a kitty-icon {
        --icon-size: 16px;
        vertical-align: text-bottom;
      }
      .question {
        white-space: pre-line;
      }
    `,
  ];

  /** What was read of this one; of the one before it may still be there. */
  private get whole(): WholeResearch | undefined {
    const { value } = this.past;
    return value?.id === this.researchId ? value : undefined;
  }

  private get research(): Research | undefined {
    return this.live ?? this.whole;
  }

  override render() {
    const { research } = this;
    const { failure, again } = this.past;
    if (!research) return failure ? failed(this.hass, failure, again) : this.notYet;
    const whole = over(research) ? this.whole : undefined;
    return html`<div class="stack">
      <section class="card stack">
        <h2 class="question">${research.question}</h2>
        <div class="row">
          ${statusChip(this.t(STATUS[research.status]), research.status)}
          ${research.answered ? html`<span class="chip">${this.t(ANSWERED[research.answered])}</span>` : nothing}
          <span class="muted">${this.byWhom(research)}</span>
        </div>
        ${this.cost(research)}
        ${
          !over(research) && hasSay(research.requested_by, this.hass.user?.id)
            ? html`<div class="row">
                <button class="danger" ?disabled=${this.busy.has("cancel")} @click=${() => this.cancel(research)}>
                  ${this.t("research.cancel")}
                </button>
              </div>`
            : nothing
        }
        ${research.error ? html`<p><span class="chip bad">${this.t("research.error", { code: research.error })}</span></p>` : nothing}
      </section>
      ${whole?.report ? this.report(whole) : nothing} ${whole ? this.sources(whole) : nothing} ${this.limits(research)}
      ${this.steps(research)}
    </div>`;
  }

  private byWhom(research: Research): string {
    const who = research.requested_by
      ? (personName(this.hass, research.requested_by) ?? this.t("common.somebody"))
      : this.t("research.the_house");
    return this.t("research.asked", { who, when: dateTime(this.hass, research.created_at) });
  }

  private cost(research: Research) {
    const spent = money(this.hass, research.cost, this.currency);
    if (!research.budget) return html`<p class="muted">${this.t("research.for_nothing")}</p>`;
    const words = this.t("research.spent", { spent, cap: money(this.hass, research.budget, this.currency) });
    return html`<div>
      <p>${words}</p>
      <progress max=${research.budget} value=${Math.min(research.cost, research.budget)} aria-label=${words}></progress>
    </div>`;
  }

  private cancel(research: Research) {
    const deed = () => this.call("cancel_research", { research_id: research.id, ...this.here });
    return this.doing("cancel", deed, this.t("research.is_cancelled"));
  }

  private steps(research: Research) {
    return html`<section class="card stack">
      <h3>${this.t("research.steps")}</h3>
      ${
        research.steps.length
          ? html`<ol class="steps" aria-live="polite">
              ${research.steps.map((one) => this.step(one, over(research)))}
            </ol>`
          : html`<p class="muted">${this.t(over(research) ? "research.no_steps" : "research.waits_for_turn")}</p>`
      }
    </section>`;
  }

  private step(one: Step, ended: boolean) {
    // Where all is over, nothing runs any more: that step was cut off.
    const cut = ended && one.status === "running";
    return html`<li class=${cut ? "cut" : one.status}>
      <kitty-icon .path=${cut ? mdiCircleOutline : ICONS[one.status]}></kitty-icon>
      <span>${one.title}<span class="sr">, ${this.t(cut ? "research.step_cut" : STEP_WORDS[one.status])}</span></span>
      ${one.detail ? html`<span class="detail muted">${one.detail}</span>` : nothing}
    </li>`;
  }

  private report(whole: WholeResearch) {
    const found = findingsOf(whole.report ?? "");
    return html`<section class="card stack">
      <h3>${this.t("research.report")}</h3>
      ${
        found.length
          ? html`<ul class="found">
              ${found.map((line) => html`<li>${line.replace(/^- /, "")}</li>`)}
            </ul>`
          : html`<p class="muted">${this.t(whole.notes.length ? "research.only_quotes" : "research.nothing_found")}</p>`
      }
    </section>`;
  }

  private sources(whole: WholeResearch) {
    if (whole.notes.length === 0) return nothing;
    return html`<section class="card stack">
      <h3>${this.t("research.sources")}</h3>
      <p class="muted">${this.t("research.quotes")}</p>
      <ol class="sources">
        ${whole.notes.map(
          (one) => html`<li value=${one.number}>
            ${this.address(one.title, one.url)}
            ${one.quotes.map((quote) => html`<blockquote>“${quote.quote}”</blockquote>`)}
          </li>`,
        )}
      </ol>
    </section>`;
  }

  /** A page that was read, with the host to which a click really leads. */
  private address(title: string, text: string) {
    const url = webAddress(text);
    if (!url) return html`${title} <span class="muted">${text}</span>`;
    return html`${title}
      <a href=${url.href} target="_blank" rel="noopener noreferrer nofollow external"
        >${url.host} <kitty-icon .path=${mdiOpenInNew}></kitty-icon><span class="sr">${this.t("research.new_tab")}</span></a
      >`;
  }

  private limits(research: Research) {
    if (research.limits.length === 0) return nothing;
    return html`<section class="card stack">
      <h3>${this.t("research.limits")}</h3>
      <ul class="found">
        ${research.limits.map((one) => html`<li>${one.text}</li>`)}
      </ul>
    </section>`;
  }
}

/** A status in words; its colour only repeats them. */
export function statusChip(words: string, status: string) {
  const kinds: Record<string, string> = {
    active: "info",
    approved: "info",
    completed: "good",
    failed: "bad",
    identified: "warn",
    running: "info",
    waiting: "warn",
  };
  return html`<span class="chip ${kinds[status] ?? ""}">${words}</span>`;
}
