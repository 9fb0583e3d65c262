/** A modal dialog: the browser's own, so focus, Escape and screen readers are right by themselves. */

import { css, html, LitElement } from "lit";
import { property, query } from "lit/decorators.js";
import { define } from "./define";
import { shared } from "./styles";

/** Fires `close` when it is left; slots: the default one, and `actions` for buttons. */
@define("kitty-dialog")
export class KittyDialog extends LitElement {
  @property({ type: Boolean, reflect: true }) open = false;
  @property() heading = "";
  @query("dialog") private dialog!: HTMLDialogElement;

  static override styles = [
    shared,
    css`
      :host {
        display: contents;
      }
      dialog {
        background: var(--ha-dialog-surface-background, var(--card-background-color, #fff));
        border: none;
        border-radius: 20px;
        box-shadow: 0 8px 32px rgb(0 0 0 / 40%);
        color: inherit;
        max-height: calc(100dvh - 32px);
        overflow: auto;
        padding: 24px;
        width: min(560px, calc(100vw - 32px));
      }
      dialog::backdrop {
        background: rgb(0 0 0 / 50%);
      }
      .stack {
        margin-block: 16px;
      }
    `,
  ];

  override render() {
    return html`<dialog aria-labelledby="heading" @close=${this.left} @cancel=${this.left}>
      <h2 id="heading">${this.heading}</h2>
      <div class="stack"><slot></slot></div>
      <div class="row end"><slot name="actions"></slot></div>
    </dialog>`;
  }

  override updated(): void {
    if (this.open && !this.dialog.open) this.dialog.showModal();
    if (!this.open && this.dialog.open) this.dialog.close();
  }

  private left(event: Event): void {
    event.stopPropagation();
    if (!this.open) return;
    this.open = false;
    this.dispatchEvent(new CustomEvent("close"));
  }
}
