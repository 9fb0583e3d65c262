/**
 * While it starts, Home Assistant's frontend puts a registry of elements of its own in the place of the browser's, and
 * finds nothing there that was defined before. So elements are defined when its own first one is (in Cast: `hc-main`).
 */
let started: Promise<unknown> | undefined;

/** Elements are defined once: after an update the old module may still be in the page. */
export function define(name: string) {
  return <T extends CustomElementConstructor>(element: T): void => {
    started ??= Promise.race(["home-assistant", "hc-main"].map((first) => customElements.whenDefined(first)));
    void started.then(() => {
      if (!customElements.get(name)) customElements.define(name, element);
    });
  };
}
