/** One short line at the foot of the page: that something was done, or why not. */

const SHOWN_MS = 6_000;
let line: HTMLElement | undefined;
let timer: ReturnType<typeof setTimeout> | undefined;

const STYLE: Partial<CSSStyleDeclaration> = {
  border: "none",
  background: "var(--primary-text-color, #212121)",
  borderRadius: "8px",
  bottom: "calc(16px + env(safe-area-inset-bottom, 0px))",
  boxShadow: "0 4px 16px rgb(0 0 0 / 30%)",
  color: "var(--primary-background-color, #fafafa)",
  font: "14px/1.5 var(--ha-font-family-body, Roboto, Noto, sans-serif)",
  insetBlockStart: "auto",
  insetInlineStart: "50%",
  insetInlineEnd: "auto",
  margin: "0",
  maxWidth: "min(560px, calc(100vw - 32px))",
  padding: "12px 16px",
  position: "fixed",
  transform: "translateX(-50%)",
  width: "max-content",
  zIndex: "10000",
};

function place(): HTMLElement {
  if (!line?.isConnected) {
    line = document.createElement("div");
    line.setAttribute("role", "status");
    line.id = "kitty-say";
    line.popover = "manual";
    document.body.append(line);
  }
  return line;
}

/** Says something to whoever looks or listens; `kind` "error" is read out at once. */
export function say(text: string, kind: "done" | "error" = "done"): void {
  const shown = place();
  Object.assign(shown.style, STYLE, document.dir === "rtl" ? { transform: "translateX(50%)" } : {});
  shown.setAttribute("role", kind === "error" ? "alert" : "status");
  shown.textContent = text;
  // Anew each time: above a dialog that was opened since.
  shown.hidePopover();
  shown.showPopover();
  clearTimeout(timer);
  timer = setTimeout(() => {
    shown.hidePopover();
    shown.textContent = "";
  }, SHOWN_MS);
}
