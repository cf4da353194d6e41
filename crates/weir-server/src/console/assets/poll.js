// Asks again and again, one request at a time: the pause counts from the end of the answer, so a slow node is asked less.

/** A page that nobody looks at asks this seldom. */
const HIDDEN_MS = 20000;
/** A node that does not answer is asked this seldom at last. */
const MOST_MS = 15000;

/** Calls `show` with what `ask` gives, every so many milliseconds, until the signal says that the page is left. */
export function poll({ ask, show, fail, every, signal }) {
  let timer;
  let failures = 0;
  let busy = false;
  const later = () => {
    const pause = Math.min(every * 2 ** failures, MOST_MS);
    timer = setTimeout(once, document.hidden ? Math.max(pause, HIDDEN_MS) : pause);
  };
  async function once() {
    if (busy || signal.aborted) return;
    busy = true;
    clearTimeout(timer);
    try {
      const answer = await ask(signal);
      failures = 0;
      if (!signal.aborted) show(answer);
    } catch (error) {
      failures += 1;
      if (!signal.aborted && error.name !== 'AbortError') fail?.(error);
    }
    busy = false;
    if (!signal.aborted) later();
  }
  const seen = () => { if (!document.hidden) once(); };
  document.addEventListener('visibilitychange', seen, { signal });
  signal.addEventListener('abort', () => clearTimeout(timer));
  once();
  return once;
}
