// From the part of the address behind `#` to a page. Whatever a page started ends with its signal when it is left.

/** `#/tables/orders?x=1` as `{ path: ['tables', 'orders'], params }`. */
export function route() {
  const [path, query] = location.hash.replace(/^#\/?/, '').split(/\?(.*)/s);
  const parts = path.split('/').filter(Boolean).map(text => { try { return decodeURIComponent(text); } catch { return text; } });
  return { path: parts, params: new URLSearchParams(query ?? '') };
}

/** Shows the page of the address now and whenever it changes. `pages` gives a page by the first part of the path. */
export function start(main, pages, arrived) {
  let leave = new AbortController();
  let first = true;
  const go = async () => {
    if (location.hash === '#main') return;
    leave.abort();
    leave = new AbortController();
    const { signal } = leave;
    const { path, params } = route();
    const page = pages(path);
    main.replaceChildren();
    arrived(path);
    document.title = [...page.title(path), 'Weir'].join(' · ');
    await page.show(main, { path, params, signal });
    // A screen reader is told where it is; the keyboard goes on from there.
    if (!first && !signal.aborted && !main.contains(document.activeElement)) main.focus({ preventScroll: true });
    if (!first) scrollTo(0, 0);
    first = false;
  };
  addEventListener('hashchange', go);
  go();
  return go;
}
