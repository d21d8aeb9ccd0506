// Pictures of every view, to be looked at: `PICTURES=folder npx playwright test pictures`.

import { join } from 'node:path';
import { expect, test } from '@playwright/test';

const folder = process.env.PICTURES;
const only = process.env.VIEWS?.split(',');

const views: Record<string, string> = {
  overview: './overview?last=15m',
  metrics: './query',
  graph: './query?q=fleet_load{zone="a",machine=~"m00.%2B"}&q=max(fleet_load)&from=now-45m',
  exemplars: './query?q=sum by (shop) (rate(orders_total[5m]))&from=now-45m',
  heatmap: './query?q=rate(checkout_duration_seconds[5m])&from=now-45m',
  table: './query?q=fleet_load&tab=table',
  error: './query?q=sum(rate(orders_total[5m]) by',
  logs: './logs?q={service_name="shop"} |= "checkout"&from=now-50m',
  explore:
    './explore?m=sum by (shop) (rate(orders_total[5m]))&l={service_name="shop"}&from=now-45m',
  targets: './targets',
  followed: './log-targets',
  discovery: './service-discovery',
  alerts: './alerts',
  rules: './rules',
  cardinality: './cardinality',
  storage: './storage',
  status: './status',
  config: './config',
  flags: './flags',
};

test.skip(!folder, 'PICTURES names no folder');

for (const [name, path] of Object.entries(views)) {
  if (only && !only.includes(name)) continue;
  for (const theme of ['light', 'dark'] as const) {
    for (const width of [1440, 390]) {
      test(`${name} ${theme} ${width}`, async ({ page }) => {
        await page.emulateMedia({ colorScheme: theme });
        await page.setViewportSize({ width, height: width === 1440 ? 900 : 844 });
        await page.goto(`${process.env.KYMO_URL}${path.slice(2)}`);
        await expect(page.locator('main h1')).toBeVisible();
        await page.waitForLoadState('networkidle');
        await page.waitForTimeout(500);
        await page.screenshot({
          path: join(folder ?? '', `${name}-${width}-${theme}.png`),
          fullPage: true,
        });
      });
    }
  }
}
