/** Rows of the audit, and how they leave the page as a file; nothing here looks at the page. */

export interface AuditRow {
  seq: number;
  at: number;
  kind: string;
  user_id: string | null;
  device_id: string | null;
  event_id: string | null;
  command_id: string | null;
  data: Record<string, unknown>;
  hash: string;
}

export interface Filter {
  kind: string;
  person: string;
  device: string;
  since: string;
  until: string;
}

export const NO_FILTER: Filter = { kind: "", person: "", device: "", since: "", until: "" };

/** What somebody chose is a time of their browser; the action would take it for one of the house. */
function moment(chosen: string): string {
  return chosen && new Date(chosen).toISOString();
}

/** Returns what kitty.get_audit takes of a filter; what was left empty is left out. */
export function asked(filter: Filter): Record<string, string> {
  const fields: [string, string][] = [
    ["kind", filter.kind],
    ["person", filter.person],
    ["device_id", filter.device],
    ["since", moment(filter.since)],
    ["until", moment(filter.until)],
  ];
  return Object.fromEntries(fields.filter(([, value]) => value !== ""));
}

const COLUMNS = ["seq", "at", "kind", "user_id", "device_id", "event_id", "command_id", "data", "hash"] as const;

function cell(value: unknown): string {
  const text =
    value === null || value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
  // A spreadsheet would take these for a formula.
  const harmless = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return `"${harmless.replaceAll('"', '""')}"`;
}

/** Returns rows as CSV; times as ISO 8601 in UTC. */
export function asCsv(rows: readonly AuditRow[]): string {
  const lines = rows.map((row) =>
    COLUMNS.map((name) => cell(name === "at" ? new Date(row.at * 1000).toISOString() : row[name])).join(","),
  );
  return `${[COLUMNS.join(","), ...lines].join("\r\n")}\r\n`;
}

/** What stands in columns of its own already, and what only proves a picture: both are in the details. */
const SAID = new Set(["device", "intent", "key", "sha256"]);

/** Says a field of a row in words; undefined where there are none for it, empty where nothing has to be said. */
export type Tell = (name: string, value: unknown, row: AuditRow) => string | undefined;

function isEmpty(value: unknown): boolean {
  return value === null || value === "" || (typeof value === "object" && Object.keys(value).length === 0);
}

/** Returns what a row tells besides, in one line; `named` writes a name and its value where `tell` has no words. */
export function summary(row: AuditRow, named: (what: string, which: string) => string, tell: Tell): string {
  const plain = (name: string, value: unknown) =>
    named(name.replaceAll("_", " "), typeof value === "object" ? JSON.stringify(value) : String(value));
  return Object.entries(row.data)
    .filter(([name, value]) => !SAID.has(name) && !isEmpty(value))
    .map(([name, value]) => tell(name, value, row) ?? plain(name, value))
    .filter(Boolean)
    .join(" · ");
}
