/** Projects: the tasks of what people agreed to, in their order, and those that wait for a person. */

import {
  mdiAccountClock,
  mdiAlertCircleOutline,
  mdiCancel,
  mdiCheckCircle,
  mdiCircleOutline,
  mdiClipboardListOutline,
  mdiProgressClock,
} from "@mdi/js";
import { css, html, nothing, type PropertyValues } from "lit";
import { property, state } from "lit/decorators.js";
import { Live } from "../data/live";
import type { Key } from "../i18n";
import { define } from "../ui/define";
import "../ui/dialog";
import { money, percent } from "../ui/format";
import "../ui/icon";
import { KittyPage } from "../ui/page";
import { empty, failed } from "../ui/states";
import { shared } from "../ui/styles";
import { hasSay, progress } from "./logic";
import { statusChip } from "./research-view";
import { rich } from "./rich";
import { richStyles } from "./rich-styles";
import type { Goal, Project, Task } from "./types";
import { choice } from "./words";

const ICONS: Record<Task["status"], string> = {
  pending: mdiCircleOutline,
  running: mdiProgressClock,
  waiting: mdiAccountClock,
  completed: mdiCheckCircle,
  failed: mdiAlertCircleOutline,
  cancelled: mdiCancel,
};
/** Longer results are shown on demand. */
const SHORT = 240;

@define("kitty-projects")
export class KittyProjects extends KittyPage {
  private readonly projects = new Live<"projects", Project>(this, "projects");
  private readonly devices = new Live(this, "devices");
  private readonly goals = new Live<"goals", Goal>(this, "goals");
  private readonly rights = new Live(this, "rights");
  @property() currency = "EUR";
  @state() private past: Project[] | undefined;
  @state() private doomed: Project | undefined;

  static override styles = [
    shared,
    richStyles,
    css`
      ol {
        display: grid;
        gap: 12px;
        list-style: none;
        margin: 0;
        padding: 0;
      }
      li {
        display: grid;
        gap: 4px 10px;
        grid-template-columns: auto minmax(0, 1fr);
      }
      li > .body {
        display: grid;
        gap: 6px;
        min-width: 0;
      }
      .completed > kitty-icon {
        color: var(--success-color, #43a047);
      }
      .failed > kitty-icon {
        color: var(--error-color, #db4437);
      }
      .waiting > kitty-icon {
        color: var(--warning-color, #ffa600);
      }
      .cancelled .name {
        text-decoration: line-through;
      }
      form {
        display: flex;
        flex-wrap: wrap;
        gap: 8px;
      }
      form input {
        flex: 1 1 200px;
        min-width: 0;
      }
    `,
  ];

  override willUpdate(changed: PropertyValues<this>): void {
    super.willUpdate(changed);
    if (changed.has("entryId")) this.past = undefined;
  }

  override render() {
    const { failure, loaded } = this.projects;
    if (!loaded) return failure ? failed(this.hass, failure) : this.notYet;
    const open = this.projects.all.sort((a, b) => b.created_at - a.created_at);
    const known = new Set(open.map((one) => one.id));
    const past = this.past?.filter((one) => !known.has(one.id)).sort((a, b) => b.created_at - a.created_at);
    return html`<div class="stack">
      ${open.length ? open.map((one) => this.project(one)) : empty(this.t("projects.none"), mdiClipboardListOutline)}
      ${
        past
          ? html`<h3>${this.t("projects.past")}</h3>
              ${past.length ? past.map((one) => this.project(one)) : html`<p class="muted">${this.t("projects.no_past")}</p>`}`
          : html`<div class="row">
              <button ?disabled=${this.busy.has("past")} @click=${() => this.readPast()}>${this.t("projects.show_past")}</button>
            </div>`
      }
      ${this.question()}
    </div>`;
  }

  private readPast() {
    const { entryId } = this;
    return this.doing("past", async () => {
      const { items } = await this.call<{ items: Project[] }>("get_projects", { ...this.here });
      if (entryId === this.entryId) this.past = items;
    });
  }

  /** Whoever said yes to its goal cancels it, and who has a say over others. */
  private mayCancel(one: Project): boolean {
    return hasSay(this.goals.get(one.goal_id)?.decided_by, this.hass.user?.id, this.rights.whole);
  }

  private project(one: Project) {
    const share = progress(one);
    const tasks = [...one.tasks].sort((a, b) => a.position - b.position);
    return html`<section class="card stack" data-project=${one.id}>
      <div class="row">
        <h3 class="grow">${one.title}</h3>
        ${statusChip(choice(this.hass, "project_status", one.status), one.status)}
        ${
          one.status === "active" && this.mayCancel(one)
            ? html`<button
                class="plain"
                @click=${() => {
                  this.doomed = one;
                }}
              >${this.t("projects.cancel")}</button>`
            : nothing
        }
      </div>
      <div>
        <p class="muted">
          ${this.t("projects.done", { share: percent(this.hass, share) })} ·
          ${
            one.budget
              ? this.t("projects.spent", {
                  spent: money(this.hass, one.spent, this.currency),
                  cap: money(this.hass, one.budget, this.currency),
                })
              : this.t("projects.for_nothing")
          }
        </p>
        <progress max="1" value=${share} aria-label=${this.t("projects.progress", { what: one.title })}></progress>
      </div>
      ${
        tasks.length
          ? html`<ol>
              ${tasks.map((task) => this.task(task, tasks))}
            </ol>`
          : html`<p class="muted">${this.t("projects.no_tasks")}</p>`
      }
    </section>`;
  }

  private task(one: Task, all: Task[]) {
    const needs = all.filter((other) => one.needs.includes(other.position) && other.status !== "completed");
    return html`<li class=${one.status} data-task=${one.id}>
      <kitty-icon .path=${ICONS[one.status]}></kitty-icon>
      <div class="body">
        <span class="name">${one.title}</span>
        <span class="muted">
          ${this.t(`projects.kind_${one.kind}` as Key)} · ${this.t(`projects.task_${one.status}` as Key)}
          ${
            one.status === "pending" && needs.length
              ? html` · ${this.t("projects.needs", { what: needs.map((other) => other.title).join(", ") })}`
              : nothing
          }
        </span>
        ${one.kind === "request" ? this.request(one) : nothing} ${one.result ? this.result(one.result) : nothing}
        ${one.error ? html`<span><span class="chip bad">${one.error}</span></span>` : nothing}
        ${one.status === "waiting" ? this.answer(one) : nothing}
      </div>
    </li>`;
  }

  /** What would be asked of a device, in our own words and not in those of the plan. */
  private request(one: Task) {
    const { device_id: id, intent, params } = one.details ?? {};
    const device = this.devices.get(String(id))?.name ?? this.t("projects.some_device");
    const given = params && Object.keys(params).length ? ` (${JSON.stringify(params)})` : "";
    return html`<span>${this.named(device, `${choice(this.hass, "intent", String(intent))}${given}`)}</span>`;
  }

  private result(text: string) {
    if (text.length <= SHORT) return html`<div class="rich">${rich(text)}</div>`;
    return html`<details>
      <summary>${text.slice(0, SHORT)} …</summary>
      <div class="rich">${rich(text)}</div>
    </details>`;
  }

  private answer(one: Task) {
    if (one.kind !== "remind" && one.kind !== "request") return nothing;
    const asks = one.kind === "request";
    return html`<form @submit=${(event: SubmitEvent) => this.done(event, one)}>
      <input name="note" maxlength="1000" aria-label=${this.t("projects.note")} placeholder=${this.t("projects.note")} />
      <button class="primary" ?disabled=${this.busy.has(one.id)}>${this.t(asks ? "projects.do_it" : "projects.is_done")}</button>
      <button type="button" ?disabled=${this.busy.has(one.id)} @click=${(event: Event) => this.refuse(event, one)}>
        ${this.t(asks ? "projects.do_not" : "projects.will_not")}
      </button>
    </form>`;
  }

  private done(event: SubmitEvent, one: Task): void {
    event.preventDefault();
    void this.say(one, true, event.target as HTMLFormElement);
  }

  private refuse(event: Event, one: Task): void {
    const { form } = event.currentTarget as HTMLButtonElement;
    if (form) void this.say(one, false, form);
  }

  private say(one: Task, done: boolean, form: HTMLFormElement) {
    const note = String(new FormData(form).get("note") ?? "").trim();
    const data = { task_id: one.id, done, ...(note ? { note } : {}), ...this.here };
    return this.doing(one.id, () => this.call("answer_task", data), this.t("projects.answered"));
  }

  private question() {
    const leave = () => {
      this.doomed = undefined;
    };
    return html`<kitty-dialog
      .open=${this.doomed !== undefined}
      .heading=${this.t("projects.cancel")}
      @close=${leave}
    >
      <p>${this.t("projects.sure", { what: this.doomed?.title ?? "" })}</p>
      <button slot="actions" @click=${leave}>${this.t("common.close")}</button>
      <button slot="actions" class="danger" @click=${() => this.cancel()}>${this.t("projects.cancel")}</button>
    </kitty-dialog>`;
  }

  private async cancel(): Promise<void> {
    const { doomed } = this;
    if (!doomed) return;
    const deed = () => this.call("cancel_project", { project_id: doomed.id, ...this.here });
    await this.doing(doomed.id, deed, this.t("projects.is_cancelled"));
    this.doomed = undefined;
    if (this.past) await this.readPast();
  }
}
