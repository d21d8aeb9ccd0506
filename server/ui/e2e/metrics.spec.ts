// Exploring metrics, as somebody does it.

import { readFileSync } from 'node:fs';
import { at, editor, expect, legend, open, type Page, runQuery, test } from './page';
import { seedFrom } from './seed';

test('a query is completed while one types it, and run by a key', async ({ page }) => {
  await open(page, 'query');
  await editor(page).click();
  await page.keyboard.type('fleet_lo');
  const choice = page.locator('.cm-tooltip-autocomplete [role=option]', { hasText: 'fleet_load' });
  await expect(choice).toBeVisible();
  await choice.click();
  await page.keyboard.type('{zone="a",mach');
  await expect(page.getByRole('option', { name: 'machine' })).toBeVisible();
  await page.keyboard.press('Tab');
  await page.keyboard.press('Escape');
  await runQuery(page, 'fleet_load{machine="m001"}');
  await expect(legend(page)).toContainText('machine="m001"');
  await expect(page.getByText(/1 series, .* samples/)).toBeVisible();
});

test('functions are completed with what they do', async ({ page }) => {
  await open(page, 'query');
  await editor(page).click();
  await page.keyboard.type('histogram_quan');
  await expect(page.locator('.cm-completionInfo')).toContainText('Calculate quantiles');
});

test('an error is underlined where it is', async ({ page }) => {
  await open(page, 'query');
  await runQuery(page, 'sum(fleet_load) by (zone');
  await expect(page.getByRole('alert')).toContainText('parse error');
  await expect(page.locator('.cm-lintRange-error').first()).toBeVisible();
});

test('several queries share a graph, and series are hidden by a click', async ({ page }) => {
  await open(page, at('query', { q: ['max(fleet_load)', 'min(fleet_load)'], from: 'now-30m' }));
  const series = legend(page).locator('button[aria-pressed]');
  await expect(series).toHaveCount(2);
  await series.first().click();
  await expect(series.first()).toHaveAttribute('aria-pressed', 'false');
  await series.nth(1).click({ modifiers: ['Alt'] });
  await page.getByRole('button', { name: 'Remove query 2' }).click();
  await expect(series).toHaveCount(1);
  expect(new URL(page.url()).searchParams.getAll('q')).toEqual(['max(fleet_load)']);
});

test('dragging over the graph zooms, and going back undoes it', async ({ page }) => {
  await open(page, at('query', { q: ['max(fleet_load)'], from: 'now-45m' }));
  await drag(page, 0.3, 0.6);
  await expect(page).toHaveURL(/from=20/);
  const params = new URL(page.url()).searchParams;
  const length = Date.parse(params.get('to') ?? '') - Date.parse(params.get('from') ?? '');
  expect(length).toBeGreaterThan(12 * 60_000);
  expect(length).toBeLessThan(15 * 60_000);
  await page.goBack();
  await expect(page).toHaveURL(/from=now-45m/);
  await expect(page.getByRole('button', { name: 'Time range: Last 45m' })).toBeVisible();
});

test('stacked and logarithmic are in the address', async ({ page }) => {
  await open(page, at('query', { q: ['sum by (zone) (fleet_load)'], from: 'now-30m' }));
  await page.getByLabel('Stacked').check();
  await page.getByLabel('Log scale').check();
  await expect(page).toHaveURL(/stack=1/);
  await expect(page).toHaveURL(/log=1/);
  await page.reload();
  await expect(page.getByLabel('Stacked')).toBeChecked();
});

test('a gap is a gap in the file that is exported', async ({ page }) => {
  const from = seedFrom() + 10 * 60_000;
  await open(
    page,
    at('query', {
      q: ['fleet_load{machine=~"m00[34]"}'],
      from: new Date(from).toISOString(),
      to: new Date(from + 30 * 60_000).toISOString(),
    }),
  );
  const csv = await exported(page, 'CSV');
  const rows = csv
    .trim()
    .split('\r\n')
    .slice(1)
    .map((row) => row.split(','));
  expect(rows.length).toBeGreaterThan(100);
  expect(rows.filter((row) => row[1] === '').length).toBeGreaterThan(50);
  expect(rows.filter((row) => row[2] === '')).toEqual([]);
  const json = JSON.parse(await exported(page, 'JSON'));
  expect(json.results[0].data.result).toHaveLength(2);
  const png = await download(page, 'PNG');
  expect(readFileSync(png).subarray(1, 4).toString()).toBe('PNG');
});

test('a shared address shows the same again', async ({ page, context }) => {
  await open(page, 'query');
  await runQuery(page, 'avg(fleet_load)');
  await page.getByRole('button', { name: /^Time range/ }).click();
  await page.getByRole('button', { name: 'Last 15 minutes' }).click();
  await page.getByRole('tab', { name: 'Table' }).click();
  await expect(page.getByRole('table')).toBeVisible();
  const other = await context.newPage();
  await other.goto(page.url());
  await expect(editor(other)).toHaveText('avg(fleet_load)');
  await expect(other.getByRole('button', { name: 'Time range: Last 15 minutes' })).toBeVisible();
  await expect(other.getByRole('tab', { name: 'Table' })).toHaveAttribute('aria-selected', 'true');
});

test('times are chosen from a calendar and typed', async ({ page }) => {
  await open(page, at('query', { q: ['max(fleet_load)'] }));
  await page.getByRole('button', { name: /^Time range/ }).click();
  await expect(page.getByRole('grid')).toBeVisible();
  await page.getByRole('grid').getByRole('button').first().click();
  await expect(page.getByLabel('From', { exact: true })).toHaveValue(/-01 00:00:00$/);
  await page.getByLabel('From', { exact: true }).fill('nonsense');
  await page.getByRole('button', { name: 'Apply' }).click();
  await expect(page.getByRole('alert')).toContainText('nonsense');
  await page.getByLabel('From', { exact: true }).fill('now-20m');
  await page.getByLabel('To', { exact: true }).fill('now-5m');
  await page.getByRole('button', { name: 'Apply' }).click();
  await expect(page).toHaveURL(/from=now-20m&to=now-5m/);
});

test('times are shown in UTC or local time', async ({ page }) => {
  const hour = '2026-11-26T14:00:00.000Z';
  await open(
    page,
    at('query', { q: ['up'], from: '2026-11-26T13:00:00.000Z', to: hour, tab: 'table' }),
  );
  await expect(page.getByText('At 2026-11-26 15:00:00')).toBeVisible();
  await page.getByLabel('Times in').selectOption('utc');
  await expect(page.getByText('At 2026-11-26 14:00:00')).toBeVisible();
});

test('a step that is asked for is kept', async ({ page }) => {
  await open(page, at('query', { q: ['max(fleet_load)'], from: 'now-10m' }));
  await page.getByLabel('Step').fill('1m');
  const asked = page.waitForRequest((request) => request.url().includes('query_range'));
  await page.getByLabel('Step').press('Enter');
  expect((await asked).postData()).toContain('step=60');
  await expect(page.getByText('Step 1m')).toBeVisible();
});

test('a slow query shows how long it runs and is cancelled', async ({ page }) => {
  await open(page, 'query');
  // The server is held up, so that the flow does not depend on how fast it is.
  await page.route('**/api/v1/query_range', async (route) => {
    await new Promise((done) => setTimeout(done, 20_000));
    await route.abort().catch(() => undefined);
  });
  await runQuery(page, 'max(fleet_load)');
  await expect(page.getByText(/Running for \d/)).toBeVisible();
  await expect(page.getByRole('progressbar')).toBeVisible();
  await page.getByRole('button', { name: 'Cancel' }).first().click();
  await expect(page.getByText('The query was cancelled')).toBeVisible();
  await expect(page.getByRole('button', { name: 'Run' })).toBeVisible();
});

test('the graph refreshes by itself', async ({ page }) => {
  await open(page, at('query', { q: ['max(fleet_load)'], from: 'now-10m', refresh: '5s' }));
  await expect(legend(page)).toBeVisible();
  await page.waitForRequest((request) => request.url().includes('query_range'), { timeout: 9_000 });
});

test('warnings and notes of the server are shown', async ({ page }) => {
  await open(page, at('query', { q: ['rate(fleet_load[5m])'], tab: 'table' }));
  await expect(page.getByText(/Note: .*might not be a counter/).first()).toBeVisible();
  await open(page, at('query', { q: ['quantile(7, fleet_load)'], tab: 'table' }));
  await expect(page.getByText(/Warning: .*quantile value should be between 0 and 1/)).toBeVisible();
});

test('a query is explained, with what it took', async ({ page }) => {
  await open(page, at('query', { q: ['sum by (zone) (rate(orders_total[5m]))'], from: 'now-10m' }));
  await expect(legend(page)).toBeVisible();
  await page.getByRole('button', { name: 'Explain query' }).click();
  const panel = page.getByRole('region', { name: 'Explanation' });
  await expect(panel.locator('pre')).toContainText('rate');
  await expect(panel.getByText('Samples looked at')).toBeVisible();
});

test('a query is formatted', async ({ page }) => {
  await open(page, 'query');
  await editor(page).click();
  await page.keyboard.insertText('sum(rate(orders_total[5m]))by(shop)');
  await page.getByRole('button', { name: 'Format query' }).click();
  await expect(editor(page)).toContainText('sum by (shop) (rate(orders_total[5m]))');
});

test('the history keeps queries', async ({ page }) => {
  await open(page, 'query');
  await runQuery(page, 'count(fleet_load)');
  await expect(legend(page)).toBeVisible();
  await open(page, 'query');
  await page.getByRole('button', { name: 'History' }).click();
  await page.getByRole('button', { name: /count\(fleet_load\)/ }).click();
  await expect(editor(page)).toHaveText('count(fleet_load)');
});

test('a metric is found by what it means', async ({ page }) => {
  await open(page, 'query');
  await page.getByRole('button', { name: 'Browse', exact: true }).click();
  await page.getByLabel('Search metrics').fill('number of series in the head');
  await page.getByRole('button', { name: /prometheus_tsdb_head_series / }).click();
  await expect(editor(page)).toHaveText('prometheus_tsdb_head_series');
});

test('a native histogram is a heat map', async ({ page }) => {
  await open(page, at('query', { q: ['rate(checkout_duration_seconds[5m])'], from: 'now-40m' }));
  await expect(page.getByRole('img', { name: /Heat map/ })).toBeVisible();
  await page.getByRole('tab', { name: 'Table' }).click();
  await page.getByText(/^count /).click();
  await expect(page.getByRole('meter').first()).toBeVisible();
});

test('exemplars are dots with their labels', async ({ page }) => {
  await open(page, at('query', { q: ['rate(orders_total[5m])'], from: 'now-40m' }));
  await page
    .getByRole('button', { name: /^Exemplar/ })
    .first()
    .click();
  const told = page.getByRole('dialog', { name: 'Exemplar' });
  await expect(told).toContainText('trace_id');
  await expect(told.getByRole('link', { name: 'Show its log lines' })).toHaveAttribute(
    'href',
    /\/logs\?.*find=[0-9a-f]{32}&/,
  );
});

test('links of Prometheus lead to the same query', async ({ page }) => {
  await open(page, 'graph?g0.expr=max(fleet_load)&g0.tab=0&g0.range_input=30m');
  await expect(page).toHaveURL(/\/query\?q=max/);
  await expect(page.getByRole('button', { name: 'Time range: Last 30 minutes' })).toBeVisible();
  await expect(legend(page)).toBeVisible();
});

async function drag(page: Page, from: number, to: number) {
  const over = page.locator('.u-over').first();
  await expect(over).toBeVisible();
  await page.waitForTimeout(200);
  const box = await over.boundingBox();
  if (!box) throw new Error('no graph');
  const y = box.y + box.height / 2;
  await page.mouse.move(box.x + box.width * from, y);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * ((from + to) / 2), y);
  await page.mouse.move(box.x + box.width * to, y);
  await page.mouse.up();
}

async function download(page: Page, format: string): Promise<string> {
  await page.getByRole('button', { name: 'Export' }).click();
  const coming = page.waitForEvent('download');
  await page.getByRole('button', { name: format, exact: true }).click();
  return (await coming).path();
}

async function exported(page: Page, format: string): Promise<string> {
  return readFileSync(await download(page, format), 'utf8');
}
