/** How texts of `rich` look. */

import { css } from "lit";

export const richStyles = css`
  .rich {
    display: grid;
    gap: 8px;
    grid-template-columns: minmax(0, 1fr);
    overflow-wrap: anywhere;
    white-space: pre-line;
  }
  .rich .heading {
    font-weight: 500;
  }
  .rich ul,
  .rich ol {
    margin: 0;
    padding-inline-start: 20px;
  }
  .rich pre,
  pre.data {
    background: color-mix(in srgb, var(--primary-text-color) 6%, transparent);
    border-radius: 8px;
    font-size: 12px;
    margin: 0;
    overflow: auto;
    padding: 8px 12px;
    white-space: pre-wrap;
  }
`;
