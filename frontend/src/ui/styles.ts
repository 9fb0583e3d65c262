/** The look of everything, from Home Assistant's own variables: light, dark and themes come by themselves. */

import { css } from "lit";

export const shared = css`
  :host {
    --space: 16px;
    --line: 1px solid var(--divider-color, #e0e0e0);
    color: var(--primary-text-color);
    font-family: var(--ha-font-family-body, Roboto, Noto, sans-serif);
    font-size: 14px;
    line-height: 1.5;
    -webkit-font-smoothing: antialiased;
  }
  * {
    box-sizing: border-box;
  }
  h2,
  h3 {
    font-weight: 500;
    margin: 0;
    overflow-wrap: anywhere;
  }
  h2 {
    font-size: 18px;
    line-height: 1.35;
  }
  h3 {
    font-size: 15px;
    line-height: 1.4;
  }
  p {
    margin: 0;
    overflow-wrap: anywhere;
  }
  a {
    /* The colour alone is too pale to be read on white. */
    color: color-mix(in srgb, var(--primary-color) 55%, var(--primary-text-color, #212121));
  }
  .muted {
    color: var(--secondary-text-color);
  }
  .card {
    background: var(--ha-card-background, var(--card-background-color, #fff));
    border: var(--ha-card-border-width, 1px) solid var(--ha-card-border-color, var(--divider-color, #e0e0e0));
    border-radius: var(--ha-card-border-radius, 12px);
    padding: var(--space);
    min-width: 0;
  }
  .grid {
    display: grid;
    gap: var(--space);
    grid-template-columns: repeat(auto-fill, minmax(min(100%, 320px), 1fr));
  }
  .stack {
    display: grid;
    gap: var(--space);
    grid-template-columns: minmax(0, 1fr);
    align-content: start;
  }
  .row {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: 8px;
  }
  .grow {
    flex: 1 1 0;
    min-width: 0;
  }
  /* What stands beside it goes below before words are broken. */
  h2.grow {
    flex-basis: min(100%, 150px);
  }
  .end {
    justify-content: flex-end;
  }
  button,
  .button {
    appearance: none;
    border: 1px solid var(--outline-color, var(--divider-color, #9e9e9e));
    border-radius: 20px;
    background: transparent;
    color: var(--primary-text-color);
    cursor: pointer;
    display: inline-flex;
    align-items: center;
    justify-content: center;
    gap: 8px;
    font: inherit;
    font-weight: 500;
    min-height: 40px;
    padding: 4px 16px;
    text-decoration: none;
  }
  button:hover:not([disabled], .primary, .danger),
  .button:hover {
    background: color-mix(in srgb, var(--primary-text-color) 8%, transparent);
  }
  button[disabled] {
    cursor: default;
    opacity: 0.5;
  }
  button.primary {
    /* A little darker than the theme has it: white on Home Assistant's blue alone is too faint to read. */
    --loud: color-mix(in srgb, var(--primary-color) 78%, #000);
    background: var(--loud);
    border-color: var(--loud);
    color: var(--text-primary-color, #fff);
  }
  button.primary:hover:not([disabled]),
  button.danger:hover:not([disabled]) {
    filter: brightness(1.08);
  }
  button.danger {
    background: #c62828;
    border-color: #c62828;
    color: #fff;
  }
  button.plain {
    border-color: transparent;
  }
  button.icon {
    border-color: transparent;
    border-radius: 50%;
    padding: 0;
    width: 40px;
  }
  :focus-visible {
    outline: 2px solid var(--primary-color);
    outline-offset: 2px;
  }
  input,
  select,
  textarea {
    background: var(--card-background-color, transparent);
    border: 1px solid var(--secondary-text-color);
    border-radius: 8px;
    color: var(--primary-text-color);
    color-scheme: inherit;
    font: inherit;
    min-height: 40px;
    padding: 6px 12px;
    max-width: 100%;
  }
  input[type="checkbox"],
  input[type="radio"] {
    accent-color: var(--primary-color);
    min-height: 0;
    width: 18px;
    height: 18px;
    margin: 0;
  }
  label.field {
    display: grid;
    gap: 4px;
    color: var(--secondary-text-color);
    font-size: 13px;
  }
  .chip {
    border: var(--line);
    border-radius: 12px;
    display: inline-flex;
    align-items: center;
    gap: 4px;
    font-size: 12px;
    line-height: 22px;
    padding: 0 10px;
    white-space: nowrap;
  }
  .chip.good,
  .chip.bad,
  .chip.warn,
  .chip.info {
    border-color: transparent;
    color: var(--primary-text-color);
  }
  .chip.good {
    background: color-mix(in srgb, var(--success-color, #43a047) 24%, transparent);
  }
  .chip.bad {
    background: color-mix(in srgb, var(--error-color, #db4437) 24%, transparent);
  }
  .chip.warn {
    background: color-mix(in srgb, var(--warning-color, #ffa600) 30%, transparent);
  }
  .chip.info {
    background: color-mix(in srgb, var(--info-color, #039be5) 24%, transparent);
  }
  .scroll {
    overflow-x: auto;
  }
  table {
    border-collapse: collapse;
    width: 100%;
  }
  th,
  td {
    border-block-end: var(--line);
    padding: 8px;
    text-align: start;
    vertical-align: top;
  }
  th {
    color: var(--secondary-text-color);
    font-weight: 500;
  }
  .number {
    font-variant-numeric: tabular-nums;
    text-align: end;
  }
  dl {
    display: grid;
    grid-template-columns: max-content minmax(0, 1fr);
    gap: 4px 16px;
    margin: 0;
  }
  dt {
    color: var(--secondary-text-color);
  }
  dd {
    margin: 0;
    overflow-wrap: anywhere;
  }
  progress {
    accent-color: var(--primary-color);
    width: 100%;
  }
  .sr {
    clip-path: inset(50%);
    height: 1px;
    overflow: hidden;
    position: absolute;
    white-space: nowrap;
    width: 1px;
  }
  @media (prefers-reduced-motion: reduce) {
    * {
      animation: none !important;
      transition: none !important;
    }
  }
`;
