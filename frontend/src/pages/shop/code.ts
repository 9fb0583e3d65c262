/** One's own code, which is asked for when one approves: set, changed, removed; with one for duress. */

import { css, html, nothing } from "lit";
import { property, state } from "lit/decorators.js";
import { failureOf, send } from "../../data/actions";
import type { Key } from "../../i18n";
import { define } from "../../ui/define";
import "../../ui/dialog";
import { KittyPage } from "../../ui/page";
import { say } from "../../ui/say";
import { shared } from "../../ui/styles";

type Field = "old" | "code" | "again" | "duress";

/** Fires `changed` when there is another code, or none any more. */
@define("kitty-own-code")
export class KittyOwnCode extends KittyPage {
  /** Whether this person has a code. */
  @property({ type: Boolean }) has = false;
  @state() private asking: "set" | "remove" | null = null;
  /** Why it was not taken: said in the dialog, because nothing else is read out while it is open. */
  @state() private wrong = "";

  static override styles = [
    shared,
    css`
      form {
        display: grid;
        gap: 16px;
      }
      .wrong {
        font-weight: 500;
      }
      .wrong:empty {
        display: none;
      }
    `,
  ];

  override render() {
    return html`<section class="card stack">
        <div class="row">
          <h2 class="grow">${this.t("codes.own")}</h2>
          ${this.isAway() ? nothing : this.deeds()}
        </div>
        <p class="muted">${this.t(this.has ? "codes.has" : "codes.has_none")}</p>
      </section>
      ${this.dialog()}`;
  }

  private deeds() {
    return html`<button @click=${() => this.ask("set")}>${this.t(this.has ? "codes.change" : "codes.set")}</button>
      ${this.has ? html`<button @click=${() => this.ask("remove")}>${this.t("codes.remove")}</button>` : nothing}`;
  }

  private ask(what: "set" | "remove"): void {
    this.asking = what;
    this.wrong = "";
  }

  private dialog() {
    const { asking, has } = this;
    const close = () => {
      this.asking = null;
    };
    const heading = asking === "remove" ? "codes.remove" : has ? "codes.change" : "codes.set";
    return html`<kitty-dialog .open=${asking !== null} heading=${this.t(heading)} @close=${close}>
      ${
        asking
          ? html`<form @submit=${this.submit}>
              ${has ? this.field("old", "codes.old", true) : nothing}
              ${
                asking === "set"
                  ? html`${this.field("code", "codes.new", true)} ${this.field("again", "codes.again", true)}
                      ${this.field("duress", "codes.duress")}
                      <p class="muted">${this.t("codes.about")}</p>`
                  : nothing
              }
              <p role="alert" class="wrong">${this.wrong}</p>
              <!-- So that Enter sends it: its own buttons are elsewhere. -->
              <button class="sr" tabindex="-1" aria-hidden="true"></button>
            </form>`
          : nothing
      }
      <button slot="actions" @click=${close}>${this.t("common.cancel")}</button>
      <button
        slot="actions"
        class=${asking === "remove" ? "danger" : "primary"}
        ?disabled=${this.busy.has("code")}
        @click=${() => this.renderRoot.querySelector<HTMLFormElement>("form")?.requestSubmit()}
      >
        ${this.t(asking === "remove" ? "codes.remove" : "codes.save")}
      </button>
    </kitty-dialog>`;
  }

  private field(name: Field, label: Key, required = false) {
    return html`<label class="field">
      ${this.t(label)}
      <input
        type="password"
        name=${name}
        autocomplete="off"
        minlength=${name === "old" ? 1 : 4}
        maxlength="64"
        ?required=${required}
      />
    </label>`;
  }

  private async submit(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const given = new FormData(form);
    const said = (name: Field) => String(given.get(name) ?? "");
    const removes = this.asking === "remove";
    this.wrong = !removes && said("code") !== said("again") ? this.t("codes.differ") : "";
    if (this.wrong) return;
    const message = {
      type: "kitty/own_code",
      code: removes ? null : said("code"),
      duress_code: said("duress") || null,
      ...(this.has ? { old_code: said("old") } : {}),
      ...(this.entryId ? { entry_id: this.entryId } : {}),
    };
    await this.doing("code", async () => {
      try {
        await send(this.hass, message);
      } catch (error) {
        this.wrong = failureOf(error).message;
        return;
      }
      say(this.t(removes ? "codes.removed" : "codes.saved"));
      this.asking = null;
      this.dispatchEvent(new CustomEvent("changed"));
    });
  }
}
