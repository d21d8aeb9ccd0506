// Queries that were run, newest first. They stay in this browser.

const key = 'kymo.history';
const most = 200;

export interface Ran {
  language: 'promql' | 'logql';
  query: string;
  at: number;
}

export function history(): Ran[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(key) ?? '[]');
    return Array.isArray(kept)
      ? (kept as Ran[]).filter((one) => typeof one?.query === 'string')
      : [];
  } catch {
    return [];
  }
}

export function remember(language: Ran['language'], query: string): void {
  if (query.trim() === '') return;
  const others = history().filter((one) => one.query !== query || one.language !== language);
  save([{ language, query, at: Date.now() }, ...others].slice(0, most));
}

export function forgetAll(): void {
  save([]);
}

function save(queries: Ran[]) {
  try {
    localStorage.setItem(key, JSON.stringify(queries));
  } catch {
    // A browser that keeps nothing has no history.
  }
}
