// How evenly a page moves: the times between its frames.

import type { Page } from '@playwright/test';

/** The times between frames while something is done. */
export async function frames(page: Page, act: () => Promise<void>): Promise<number[]> {
  await page.evaluate(() => {
    const kept = window as unknown as { frames: number[]; last: number; watching: boolean };
    kept.frames = [];
    kept.watching = true;
    kept.last = performance.now();
    const frame = (now: number) => {
      kept.frames.push(now - kept.last);
      kept.last = now;
      if (kept.watching) requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  await act();
  return page.evaluate(() => {
    const kept = window as unknown as { frames: number[]; watching: boolean };
    kept.watching = false;
    return kept.frames.slice(1);
  });
}

export function quantile(times: readonly number[], part: number): number {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
}

export function report(what: string, times: readonly number[]) {
  const at = (part: number) => quantile(times, part).toFixed(1);
  process.stdout.write(
    `${what}: ${times.length} frames, median ${at(0.5)} ms, 95 % ${at(0.95)} ms, longest ${at(1)} ms\n`,
  );
}
