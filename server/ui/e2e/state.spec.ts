// The state of the system, as somebody looks it up.

import { startKymo } from './kymo';
import { editor, expect, legend, open, test } from './page';

test('targets are filtered by health and by words', async ({ page }) => {
  await open(page, 'targets');
  const rows = page.locator('tbody tr');
  await expect(page.getByText('1 of 1 up').first()).toBeVisible();
  await page.getByRole('button', { name: /^down/ }).click();
  await expect(rows).toHaveCount(1);
  await expect(rows).toContainText('connection refused');
  await expect(page).toHaveURL(/health=down/);
  await page.getByRole('button', { name: /^All/ }).click();
  await page.getByLabel('Search targets').fill('role="monitoring"');
  await expect(rows).toHaveCount(1);
  await expect(rows).toContainText('kymo');
  await page.getByLabel('Search targets').fill('no such target');
  await expect(page.getByText('No target matches.')).toBeVisible();
});

test('a target leads to its history', async ({ page }) => {
  await open(page, 'targets');
  await page.getByRole('region', { name: 'Pool kymo' }).getByText('Its history').click();
  await expect(editor(page)).toContainText('up{job="kymo"');
  // A server that has just started has no point on the graph's grid yet.
  await expect(async () => {
    await page.getByRole('button', { name: 'Run', exact: true }).click();
    await expect(legend(page)).toBeVisible({ timeout: 3000 });
  }).toPass({ timeout: 40_000 });
});

test('followed logs tell how far they are, and lead to their lines', async ({ page }) => {
  await open(page, 'log-targets');
  const job = page.getByRole('region', { name: 'Job web' });
  await expect(job).toContainText('tier="front"');
  await expect(job).toContainText('1 dropped target');
  const file = job.getByRole('row').filter({ hasText: '/web.log' });
  await expect(file.locator('[data-name=lines]')).toHaveText('40');
  await expect(file.locator('[data-name=behind]')).toHaveText('nothing');
  await file.getByRole('link', { name: 'Its lines' }).click();
  await expect(page.locator('main h1')).toHaveText('Logs');
  await expect(editor(page)).toContainText('/web.log"}');
  await expect(page.getByText('GET /items/39 200')).toBeVisible();
});

test('followed logs are searched, and those with errors told apart', async ({ page }) => {
  await open(page, 'log-targets');
  const files = page.locator('.log-file-table tbody tr');
  await expect(files).toHaveCount(2);
  await page.getByRole('button', { name: /^With errors only 1/ }).click();
  await expect(files).toHaveCount(1);
  await expect(files).toContainText('old.web.log.gz');
  await expect(page).toHaveURL(/errors=1/);
  await page.getByLabel('Search followed logs').fill('no such file');
  await expect(page.getByText('Nothing matches.')).toBeVisible();
});

test('where no logs are followed it is told how', async ({ page }) => {
  const kymo = await startKymo();
  try {
    await open(page, 'log-targets', kymo.url);
    await expect(page.getByText('No logs are followed.')).toBeVisible();
    await expect(page.getByText('--logs.promtail-config')).toBeVisible();
  } finally {
    await kymo.stop();
  }
});

test('discovery shows labels before and after relabelling, rule by rule', async ({ page }) => {
  await open(page, 'service-discovery');
  const pool = page.getByRole('region', { name: 'Pool chosen' });
  await expect(pool).toContainText('1 scraped');
  await expect(pool).toContainText('1 dropped');
  await pool.getByRole('button', { name: 'Rule by rule' }).first().click();
  await expect(pool).toContainText('+ kept_because="yes"');
  await pool.getByRole('button', { name: 'Rule by rule' }).last().click();
  await expect(pool).toContainText('drops it');
});

test('an alert that fires tells since when, and its expression opens', async ({ page }) => {
  await open(page, 'alerts');
  await page.getByRole('button', { name: /^firing 2/ }).click();
  const rules = page.getByRole('region', { name: 'Alerting rules' });
  await expect(rules).toContainText('A machine has a load of');
  await expect(rules).toContainText('severity="page"');
  await expect(rules).not.toContainText('NobodyOrders');
  await rules.getByRole('link', { name: 'max(fleet_load) > 1' }).click();
  await expect(editor(page)).toHaveText('max(fleet_load) > 1');
});

test('rules over logs are marked, and their expressions open in Logs', async ({ page }) => {
  await open(page, 'rules');
  const group = page.getByRole('region', { name: 'failures' });
  await expect(group.getByText('logs', { exact: true })).toBeVisible();
  await expect(group).toContainText('log_rules.yml');
  await expect(
    page.getByRole('region', { name: 'shop' }).getByText('logs', { exact: true }),
  ).toHaveCount(0);
  await open(page, 'alerts?search=OrdersFail');
  const alert = page.getByRole('article');
  await expect(alert).toHaveCount(1);
  await expect(alert).toContainText('logs');
  await expect(alert).toContainText('firing');
  await expect(alert).toContainText('orders failed');
  await alert.getByRole('link').click();
  await expect(page.locator('main h1')).toHaveText('Logs');
  await expect(editor(page)).toContainText('{service_name="shop"} |= "failed"');
  await expect(page.locator('.u-over').first()).toBeVisible();
});

test('rules are shown by group', async ({ page }) => {
  await open(page, 'rules');
  await expect(page.getByRole('region', { name: 'shop' })).toContainText('every 1 s');
  await page.getByLabel('Search rules').fill('rate5m');
  await expect(page.getByRole('article')).toHaveCount(1);
});

test('cardinality is looked into, label by label', async ({ page }) => {
  await open(page, 'cardinality');
  await expect(page.getByRole('region', { name: 'Head', exact: true })).toContainText('Series');
  await page
    .getByRole('region', { name: 'Metrics with most series' })
    .getByRole('button', { name: 'fleet_load' })
    .click();
  await expect(page).toHaveURL(/match=/);
  const zones = page.getByRole('region', { name: 'zone: 3 values' });
  await expect(page.getByRole('region', { name: 'machine: 200 values' })).toBeVisible();
  await zones.getByRole('button', { name: 'a', exact: true }).click();
  await expect(page.getByRole('region', { name: 'machine: 67 values' })).toBeVisible();
  await expect(page.getByRole('region', { name: 'Selection' })).toContainText('67');
  await page.goBack();
  await expect(zones).toBeVisible();
});

test('storage, status, configuration and flags are told', async ({ page }) => {
  await open(page, 'storage');
  await expect(page.getByRole('region', { name: 'Memory' })).toContainText('GiB');
  await expect(page.getByRole('region', { name: 'Logs' })).toContainText('Streams');
  await expect(page.getByText('No blocks yet.')).toBeVisible();
  await open(page, 'status');
  await expect(page.getByRole('region', { name: 'Build' })).toContainText('Running since');
  await open(page, 'config');
  await expect(page.getByText('job_name: absent')).toBeVisible();
  await open(page, 'flags');
  await page.getByLabel('Search flags').fill('query.timeout');
  await expect(page.locator('tbody tr')).toHaveCount(1);
});

test('the overview tells what needs somebody, and leads there', async ({ page }) => {
  await open(page, 'overview?last=15m');
  await expect(page.getByRole('link', { name: /Targets 2 of 3 up/ })).toBeVisible();
  // A server that has just started has no point on the graph's grid yet.
  await expect(page.getByRole('img', { name: /^Series in memory, now/ })).toBeVisible({
    timeout: 40_000,
  });
  await page.getByRole('link', { name: /Alerts 2 firing/ }).click();
  await expect(page.locator('main h1')).toHaveText('Alerts');
});
