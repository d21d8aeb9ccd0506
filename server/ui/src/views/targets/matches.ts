// Which targets a search finds.

import type { Target } from '../../api/prometheus';

/** Whether all words are somewhere in what a target shows. */
export function matches(target: Target, words: readonly string[]): boolean {
  const labels = Object.entries(target.labels).map(([name, value]) => `${name}="${value}"`);
  const text = [target.scrapePool, target.scrapeUrl, target.lastError, ...labels].join(' ');
  const lower = text.toLowerCase();
  return words.every((word) => lower.includes(word.toLowerCase()));
}
