/** A drawn icon; what it means is said beside it, or by the button around it. */

import { css, html, LitElement } from "lit";
import { property } from "lit/decorators.js";
import { define } from "./define";

@define("kitty-icon")
export class KittyIcon extends LitElement {
  @property() path = "";

  static override styles = css`
    :host {
      display: inline-flex;
      flex: none;
      height: var(--icon-size, 24px);
      width: var(--icon-size, 24px);
    }
    svg {
      fill: currentcolor;
      height: 100%;
      width: 100%;
    }
  `;

  override render() {
    return html`<svg viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d=${this.path}></path></svg>`;
  }
}
