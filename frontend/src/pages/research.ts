/** Research and projects: questions to the web, what could be better, what is being done for it, and whether it helped. */

import { mdiArrowLeft, mdiMagnify } from "@mdi/js";
import { css, html, nothing } from "lit";
import { Live } from "../data/live";
import "../mind/goals";
import { missing, over } from "../mind/logic";
import "../mind/outcomes";
import "../mind/projects";
import { STATUS, statusChip } from "../mind/research-view";
import { follow, tabStyles, tabs } from "../mind/tabs";
import type { Budget, Goal, Project, Research } from "../mind/types";
import { loadChoices } from "../mind/words";
import { navigate } from "../panel";
import { define } from "../ui/define";
import { money, relative } from "../ui/format";
import "../ui/icon";
import { KittyPage } from "../ui/page";
import { empty, failed } from "../ui/states";
import { shared } from "../ui/styles";

const ROOT = "/kitty/research";
const ONE = "one/";

@define("kitty-page-research")
export class KittyPageResearch extends KittyPage {
  private readonly capabilities = new Live(this, "capabilities");
  private readonly researches = new Live<"researches", Research>(this, "researches");
  private readonly goals = new Live<"goals", Goal>(this, "goals");
  private readonly projects = new Live<"projects", Project>(this, "projects");
  private readonly budget = new Live<"budget", Budget>(this, "budget");
  private readonly answering = new Live(this, "answering");
  /** One that is no longer told live has ended, and is in the list of those. */
  private readonly past = this.fetched(
    async () => (await this.call<{ items: Research[] }>("get_research", { ...this.here })).items.reverse(),
    () => (this.researches.loaded && !this.rest ? [...this.researches.rows.keys()].join() : null),
  );

  static override styles = [
    shared,
    tabStyles,
    css`
      form {
        display: grid;
        gap: 12px;
        grid-template-columns: minmax(0, 1fr);
      }
      input[type="number"] {
        width: 140px;
      }
      ul {
        display: grid;
        gap: 8px;
        list-style: none;
        margin: 0;
        padding: 0;
      }
      a.card {
        color: inherit;
        display: grid;
        gap: 6px;
        text-decoration: none;
      }
      a.card:hover {
        border-color: var(--primary-color);
      }
    `,
  ];

  override connectedCallback(): void {
    super.connectedCallback();
    void this.updateComplete.then(() => loadChoices(this.hass)).then(() => this.requestUpdate());
  }

  private get currency(): string {
    return this.budget.whole?.currency ?? "EUR";
  }

  override render() {
    const waiting = this.goals.all.filter((one) => one.status === "identified").length;
    const tasks = this.projects.all
      .flatMap((one) => one.tasks)
      .filter((one) => one.status === "waiting" && one.kind !== "research");
    const current = this.rest === "" || this.rest.startsWith(ONE) ? ROOT : `${ROOT}/${this.rest}`;
    return html`<div class="stack">
      ${tabs(
        this.t("research.parts"),
        [
          { href: ROOT, label: this.t("research.researches") },
          { href: `${ROOT}/goals`, label: this.t("goals.goals"), count: waiting },
          { href: `${ROOT}/projects`, label: this.t("projects.projects"), count: tasks.length },
          { href: `${ROOT}/outcomes`, label: this.t("outcomes.outcomes") },
        ],
        current,
      )}
      ${this.body()}
    </div>`;
  }

  private body() {
    const part = this.rest.startsWith(ONE) ? ONE : this.rest;
    switch (part) {
      case "goals":
        return html`<kitty-goals .hass=${this.hass} .entryId=${this.entryId} .currency=${this.currency}></kitty-goals>`;
      case "projects":
        return html`<kitty-projects .hass=${this.hass} .entryId=${this.entryId} .currency=${this.currency}></kitty-projects>`;
      case "outcomes":
        return html`<kitty-outcomes .hass=${this.hass} .entryId=${this.entryId} .currency=${this.currency}></kitty-outcomes>`;
      case ONE:
        return this.one(this.rest.slice(ONE.length));
      default:
        return this.list();
    }
  }

  private one(id: string) {
    return html`<div class="row">
        <button class="plain" @click=${() => navigate(ROOT)}>
          <kitty-icon .path=${mdiArrowLeft}></kitty-icon>${this.t("research.all")}
        </button>
      </div>
      <kitty-research
        .hass=${this.hass}
        .entryId=${this.entryId}
        .researchId=${id}
        .live=${this.researches.get(id)}
        .currency=${this.currency}
      ></kitty-research>`;
  }

  private list() {
    if (!this.researches.loaded) {
      const { failure } = this.researches;
      return failure ? failed(this.hass, failure) : this.notYet;
    }
    const live = this.researches.all.sort((a, b) => b.created_at - a.created_at);
    const known = new Set(live.map((one) => one.id));
    const { value, failure, again } = this.past;
    const past = value?.filter((one) => !known.has(one.id));
    return html`${this.start()}
      ${live.length ? html`<ul aria-label=${this.t("research.open")}>${live.map((one) => this.entry(one))}</ul>` : nothing}
      ${past?.length ? html`<ul aria-label=${this.t("research.past")}>${past.map((one) => this.entry(one))}</ul>` : nothing}
      ${live.length === 0 && past?.length === 0 ? empty(this.t("research.none"), mdiMagnify) : nothing}
      ${failure ? failed(this.hass, failure, again) : nothing}`;
  }

  private entry(one: Research) {
    const running = one.steps.findLast((step) => step.status === "running");
    return html`<li>
      <a class="card" href="${ROOT}/${ONE}${one.id}" data-research=${one.id} @click=${follow}>
        <h3>${one.question}</h3>
        <span class="row">
          ${statusChip(this.t(STATUS[one.status]), one.status)}
          ${running && !over(one) ? html`<span>${running.title}</span>` : nothing}
          <span class="muted">
            ${relative(this.hass, one.created_at)}${one.cost ? ` · ${money(this.hass, one.cost, this.currency)}` : nothing}
          </span>
        </span>
      </a>
    </li>`;
  }

  private start() {
    const capability = this.capabilities.get("research");
    if (!capability?.set_up) return this.searchless();
    if (!capability.available) return html`<p class="card muted">${this.t("research.is_off")}</p>`;
    if (!this.answering.loaded) return nothing;
    const lack = missing(this.answering.all);
    if (lack === "search") return this.searchless();
    return html`<section class="card">
      <form @submit=${this.begin}>
        ${lack === "model" ? html`<p>${this.t(this.isAdmin ? "research.no_model" : "research.no_model_seen")}</p>` : nothing}
        <label class="field">
          ${this.t("research.question")}
          <textarea name="question" rows="2" required minlength="3" maxlength="2000"></textarea>
        </label>
        <div class="row" style="align-items: end">
          <label class="field">
            ${this.t("research.budget", { currency: this.currency })}
            <input type="number" name="budget" min="0" step="any" inputmode="decimal" placeholder="0" />
          </label>
          <button class="primary" ?disabled=${this.busy.has("start")}>${this.t("research.start")}</button>
        </div>
        <p class="muted">${this.t("research.about_budget")}</p>
      </form>
    </section>`;
  }

  private searchless() {
    return html`<p class="card muted">${this.t(this.isAdmin ? "research.no_search" : "research.no_search_seen")}</p>`;
  }

  private async begin(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const given = new FormData(form);
    const budget = Number(given.get("budget") || 0);
    const data = { question: String(given.get("question")).trim(), ...(budget > 0 ? { budget } : {}), ...this.here };
    await this.doing("start", async () => {
      const { research_id } = await this.call<{ research_id: string }>("start_research", data);
      form.reset();
      navigate(`${ROOT}/${ONE}${research_id}`);
    });
  }
}
