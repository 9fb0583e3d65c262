/** Words of models and of the web, drawn with a few forms and nothing else: no links, no pictures, no markup of theirs. */

import { html, type TemplateResult } from "lit";

export type Inline = { kind: "text" | "strong" | "em" | "code"; text: string };

export type Block =
  | { kind: "heading" | "paragraph"; inlines: Inline[] }
  | { kind: "list"; ordered: boolean; start: number; items: Inline[][] }
  | { kind: "code"; text: string };

// Lengths are bounded, so that a long line of signs that never end is soon looked through.
const INLINE =
  /`([^`\n]{1,300})`|\*\*([^*\n]{1,300})\*\*|__([^_\n]{1,300})__|\*([^*\s][^*\n]{0,300})\*|\[([^\]\n]{1,300})\]\(([^)\s]{1,1000})\)/g;
const HEADING = /^#{1,6}\s+(.*)$/;
const BULLET = /^\s{0,3}[-*+•]\s+(.*)$/;
const NUMBERED = /^\s{0,3}(\d{1,4})[.)]\s+(.*)$/;
const FENCE = /^\s{0,3}```/;

/** Takes a line apart. A link becomes its words and its address, both to be read and neither to be clicked. */
export function inlines(line: string): Inline[] {
  const found: Inline[] = [];
  let from = 0;
  for (const match of line.matchAll(INLINE)) {
    if (match.index > from) found.push({ kind: "text", text: line.slice(from, match.index) });
    const [, code, strong, also, em, label, address] = match;
    if (code !== undefined) found.push({ kind: "code", text: code });
    else if (em !== undefined) found.push({ kind: "em", text: em });
    else if (label !== undefined) found.push({ kind: "text", text: `${label} (${address})` });
    else found.push({ kind: "strong", text: strong ?? also ?? "" });
    from = match.index + match[0].length;
  }
  if (from < line.length) found.push({ kind: "text", text: line.slice(from) });
  return found;
}

/** Takes a text apart into blocks; what is no form that we know stays as it was written. */
export function blocks(text: string): Block[] {
  const found: Block[] = [];
  const lines = text.replaceAll("\r\n", "\n").split("\n");
  let open: Block | null = null;
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? "";
    if (FENCE.test(line)) {
      const end = lines.findIndex((one, place) => place > at && FENCE.test(one));
      const last = end < 0 ? lines.length : end;
      found.push({ kind: "code", text: lines.slice(at + 1, last).join("\n") });
      at = last;
      open = null;
      continue;
    }
    open = taken(line, open, found);
  }
  return found;
}

/** Puts one line into the block that is open, or into a new one, and returns what is open then. */
function taken(line: string, open: Block | null, found: Block[]): Block | null {
  if (!line.trim()) return null;
  const add = (block: Block): Block => {
    found.push(block);
    return block;
  };
  const heading = HEADING.exec(line)?.[1];
  if (heading !== undefined) {
    add({ kind: "heading", inlines: inlines(heading) });
    return null;
  }
  const numbered = NUMBERED.exec(line);
  const item = BULLET.exec(line)?.[1] ?? numbered?.[2];
  if (item !== undefined) {
    const ordered = numbered !== null;
    const list =
      open?.kind === "list" && open.ordered === ordered
        ? open
        : add({ kind: "list", ordered, start: Number(numbered?.[1] ?? 1), items: [] });
    if (list.kind === "list") list.items.push(inlines(item));
    return list;
  }
  if (open?.kind === "list") {
    open.items.at(-1)?.push({ kind: "text", text: `\n${line.trim()}` });
    return open;
  }
  if (open?.kind === "paragraph") {
    open.inlines.push({ kind: "text", text: "\n" }, ...inlines(line));
    return open;
  }
  return add({ kind: "paragraph", inlines: inlines(line) });
}

function drawn(one: Inline): TemplateResult | string {
  switch (one.kind) {
    case "strong":
      return html`<strong>${one.text}</strong>`;
    case "em":
      return html`<em>${one.text}</em>`;
    case "code":
      return html`<code>${one.text}</code>`;
    default:
      return one.text;
  }
}

/** Draws such a text; every word of it is put into the page as text. Wants `white-space: pre-line` around it. */
export function rich(text: string): TemplateResult[] {
  return blocks(text).map((block) => {
    switch (block.kind) {
      case "code":
        return html`<pre><code>${block.text}</code></pre>`;
      case "heading":
        return html`<p class="heading">${block.inlines.map(drawn)}</p>`;
      case "list": {
        const items = block.items.map((item) => html`<li>${item.map(drawn)}</li>`);
        return block.ordered ? html`<ol start=${block.start}>${items}</ol>` : html`<ul>${items}</ul>`;
      }
      default:
        return html`<p>${block.inlines.map(drawn)}</p>`;
    }
  });
}

/** Returns the address of a page that was read, if a browser may go there by a click. */
export function webAddress(text: string): URL | null {
  try {
    const url = new URL(text);
    return url.protocol === "https:" || url.protocol === "http:" ? url : null;
  } catch {
    return null;
  }
}
