/** Outcomes: whether what was done has helped, drawn as it was before and as it was since. */

import { mdiChartBellCurve } from "@mdi/js";
import { css, html, nothing } from "lit";
import { property } from "lit/decorators.js";
import type { Hass } from "../data/hass";
import type { Key } from "../i18n";
import { define } from "../ui/define";
import { dateTime, money, number, percent } from "../ui/format";
import { KittyPage } from "../ui/page";
import { empty, failed } from "../ui/states";
import { shared } from "../ui/styles";
import { reaches, UNITS, verdict } from "./logic";
import type { Figure, Outcome } from "./types";
import { choice } from "./words";

const WINDOW_S = 30 * 86_400;
/** Returns a figure of a metric as people read it. */
export function figure(hass: Hass, metric: string, value: number, currency: string): string {
  switch (UNITS[metric]) {
    case "share":
      return percent(hass, value);
    case "money":
      return money(hass, value, currency);
    case "points":
      return `${number(hass, value, 0)} / 100`;
    default:
      return number(hass, value, 2);
  }
}

const CHIPS: Partial<Record<Key, string>> = { "outcomes.better": "good", "outcomes.worse": "bad" };

@define("kitty-outcomes")
export class KittyOutcomes extends KittyPage {
  @property() currency = "EUR";
  private readonly outcomes = this.fetched(
    async () => (await this.call<{ items: Outcome[] }>("get_outcomes", { ...this.here })).items,
  );

  static override styles = [
    shared,
    css`
      .outcome {
        display: grid;
        gap: 12px;
        align-content: start;
      }
      .figures {
        display: grid;
        gap: 6px 12px;
        grid-template-columns: max-content minmax(0, 1fr) max-content;
        align-items: center;
      }
      .bar {
        background: color-mix(in srgb, var(--primary-text-color) 8%, transparent);
        block-size: 14px;
        border-radius: 7px;
        overflow: hidden;
      }
      .bar > div {
        background: var(--secondary-text-color);
        block-size: 100%;
      }
      .since > div {
        background: var(--primary-color);
      }
    `,
  ];

  override render() {
    const { value, failure, again } = this.outcomes;
    if (!value) return failure ? failed(this.hass, failure, again) : this.notYet;
    if (value.length === 0) return empty(this.t("outcomes.none"), mdiChartBellCurve);
    return html`<div class="stack">
      <p class="muted">${this.t("outcomes.about")}</p>
      <div class="grid">${[...value].reverse().map((one) => this.outcome(one))}</div>
    </div>`;
  }

  private outcome(one: Outcome) {
    const key = verdict(one);
    const before = one.baseline.value;
    const after = one.result?.value ?? null;
    const [reach, reached] = reaches(one.metric, before ?? 0, after ?? 0);
    const due = one.completed_at === null ? null : one.completed_at + WINDOW_S;
    return html`<section class="card outcome">
      <h3>${one.title}</h3>
      <div class="row">
        <span class="chip ${CHIPS[key] ?? ""}">${this.t(key)}</span>
        <span class="chip">${choice(this.hass, "goal_metric", one.metric)}</span>
      </div>
      <div class="figures">
        ${this.bar("outcomes.before", one, one.baseline, reach)}
        ${one.result ? this.bar("outcomes.since", one, one.result, reached) : nothing}
      </div>
      ${
        one.result
          ? nothing
          : html`<p class="muted">
              ${due === null ? this.t("outcomes.goes_on") : this.t("outcomes.due", { when: dateTime(this.hass, due) })}
            </p>`
      }
    </section>`;
  }

  private bar(label: Key, one: Outcome, told: Figure, reach: number) {
    const words =
      told.value === null ? this.t("outcomes.too_few") : figure(this.hass, one.metric, told.value, this.currency);
    return html`<span>${this.t(label)}</span>
      <div class="bar ${label === "outcomes.since" ? "since" : ""}" aria-hidden="true">
        <div style="inline-size: ${(told.value === null ? 0 : reach) * 100}%"></div>
      </div>
      <span>${words} <span class="muted">(n = ${told.n})</span></span>`;
  }
}
