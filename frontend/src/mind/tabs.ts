/** The parts of a page as links under its head, each with an address of its own. */

import { css, html, nothing, type TemplateResult } from "lit";
import { navigate } from "../panel";

export interface Tab {
  /** The address from the root of Home Assistant. */
  href: string;
  label: string;
  /** How many there are that wait for somebody. */
  count?: number;
}

/** Follows a link of ours without loading the page anew. */
export function follow(event: MouseEvent): void {
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
  const href = (event.currentTarget as HTMLAnchorElement).getAttribute("href");
  if (!href) return;
  event.preventDefault();
  navigate(href);
}

export function tabs(label: string, all: readonly Tab[], current: string): TemplateResult {
  return html`<nav class="tabs" aria-label=${label}>
    ${all.map(
      (one) => html`<a href=${one.href} aria-current=${one.href === current ? "page" : nothing} @click=${follow}
        >${one.label}${one.count ? html`<span class="count">${one.count}</span>` : nothing}</a
      >`,
    )}
  </nav>`;
}

export const tabStyles = css`
  nav.tabs {
    display: flex;
    flex-wrap: wrap;
    gap: 4px;
  }
  nav.tabs a {
    align-items: center;
    border-radius: 20px;
    color: var(--primary-text-color);
    display: inline-flex;
    flex: none;
    font-weight: 500;
    gap: 8px;
    min-height: 40px;
    padding: 4px 16px;
    text-decoration: none;
  }
  nav.tabs a[aria-current="page"] {
    background: color-mix(in srgb, var(--primary-color) 20%, transparent);
  }
  nav.tabs a:focus-visible {
    outline-offset: -2px;
  }
  .count {
    background: color-mix(in srgb, var(--warning-color, #ffa600) 40%, transparent);
    border-radius: 10px;
    font-size: 12px;
    line-height: 20px;
    min-width: 20px;
    padding-inline: 6px;
    text-align: center;
  }
`;
