/** Who takes part in a conversation: its owner lets others in and sends them away, and those leave. */

import { mdiAccountMultipleOutline } from "@mdi/js";
import { css, html, nothing } from "lit";
import { property, state } from "lit/decorators.js";
import { people, personEntity, personName } from "../data/hass";
import { define } from "../ui/define";
import "../ui/dialog";
import "../ui/icon";
import { KittyPage } from "../ui/page";
import { shared } from "../ui/styles";
import type { Conversation } from "./types";

/** Fires `changed` when somebody came or went, and `left` when this person did. */
@define("kitty-participants")
export class KittyParticipants extends KittyPage {
  @property({ attribute: false }) talk: Conversation | undefined;
  @state() private open = false;

  static override styles = [
    shared,
    css`
      ul {
        list-style: none;
        margin: 0;
        padding: 0;
      }
      li {
        min-height: 48px;
      }
    `,
  ];

  override render() {
    const { talk } = this;
    if (!talk) return nothing;
    const close = () => {
      this.open = false;
    };
    const mine = talk.owner !== null && talk.owner === this.hass.user?.id;
    return html`<button
        class="icon"
        aria-label=${this.t("participants.who")}
        title=${this.t("participants.who")}
        @click=${() => {
          this.open = true;
        }}
      >
        <kitty-icon .path=${mdiAccountMultipleOutline}></kitty-icon>
      </button>
      <kitty-dialog .open=${this.open} heading=${this.t("participants.who")} @close=${close}>
        <ul>
          ${talk.participants.map((id) => this.person(talk, id, mine))}
        </ul>
        ${mine ? this.guests(talk) : nothing}
        ${
          mine
            ? nothing
            : html`<button slot="actions" ?disabled=${this.busy.has("leave")} @click=${() => this.leave(talk)}>
                ${this.t("participants.leave")}
              </button>`
        }
        <button slot="actions" @click=${close}>${this.t("common.close")}</button>
      </kitty-dialog>`;
  }

  private person(talk: Conversation, id: string, mine: boolean) {
    const name = personName(this.hass, id) ?? this.t("common.somebody");
    const entity = personEntity(this.hass, id);
    return html`<li class="row">
      <span class="grow">${name}</span>
      ${id === talk.owner ? html`<span class="muted">${this.t("participants.began")}</span>` : nothing}
      ${
        mine && id !== talk.owner && entity
          ? html`<button
              aria-label=${this.named(this.t("participants.send_away"), name)}
              ?disabled=${this.busy.has(id)}
              @click=${() => this.change(id, "leave_conversation", talk, entity, this.t("participants.sent_away", { who: name }))}
            >
              ${this.t("participants.send_away")}
            </button>`
          : nothing
      }
    </li>`;
  }

  /** Whom its owner may let in besides. */
  private guests(talk: Conversation) {
    const others = people(this.hass).filter((one) => !talk.participants.includes(one.attributes.user_id ?? ""));
    if (others.length === 0) return html`<p class="muted">${this.t("participants.nobody_else")}</p>`;
    return html`<form class="row" style="align-items: end" @submit=${(event: SubmitEvent) => this.letIn(event, talk)}>
        <label class="field grow">
          ${this.t("participants.whom")}
          <select name="person">
            ${others.map((one) => html`<option value=${one.entity_id}>${one.attributes.friendly_name ?? one.entity_id}</option>`)}
          </select>
        </label>
        <button class="primary" ?disabled=${this.busy.has("invite")}>${this.t("participants.let_in")}</button>
      </form>
      <p class="muted">${this.t("participants.about")}</p>`;
  }

  private letIn(event: SubmitEvent, talk: Conversation): void {
    event.preventDefault();
    const entity = String(new FormData(event.target as HTMLFormElement).get("person"));
    const who = this.hass.states[entity]?.attributes.friendly_name ?? entity;
    void this.change("invite", "invite_to_conversation", talk, entity, this.t("participants.is_in", { who }));
  }

  private async change(name: string, action: string, talk: Conversation, person: string, done: string): Promise<void> {
    const data = { conversation_id: talk.id, person, ...this.here };
    if (await this.doing(name, () => this.call(action, data), done)) this.dispatchEvent(new CustomEvent("changed"));
  }

  private async leave(talk: Conversation): Promise<void> {
    const deed = () => this.call("leave_conversation", { conversation_id: talk.id, ...this.here });
    if (await this.doing("leave", deed, this.t("participants.left"))) this.dispatchEvent(new CustomEvent("left"));
  }
}
