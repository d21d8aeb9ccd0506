// Exploring logs, as somebody does it.

import { frames, quantile, report } from './frames';
import { at, editor, expect, open, type Page, runQuery, server, test } from './page';
import { pushLines, seedFrom } from './seed';

const list = (page: Page) => page.getByRole('feed', { name: 'Log lines' });
const rows = (page: Page) => list(page).getByRole('article');

const shop = '{service_name="shop"}';

test('a stream is chosen, and its volume is told by severity', async ({ page }) => {
  await open(page, 'logs');
  await page.getByRole('button', { name: 'shop', exact: true }).click();
  await expect(rows(page).first()).toBeVisible();
  const volume = page.getByRole('region', { name: 'Volume of lines' });
  await expect(volume.getByRole('img')).toHaveAttribute('aria-label', /error \d+.*info \d+/);
  expect(new URL(page.url()).searchParams.get('q')).toBe(shop);
});

test('a query of logs is completed, and its mistakes are underlined', async ({ page }) => {
  await open(page, 'logs');
  await editor(page).click();
  await page.keyboard.type('{service_n');
  await page.getByRole('option', { name: /service_name/ }).click();
  await page.keyboard.type('sh');
  await page.getByRole('option', { name: 'shop' }).click();
  await expect(editor(page)).toContainText('service_name="shop');
  await page.keyboard.press('Control+a');
  await page.keyboard.insertText('{service_name="shop"} |= ');
  await expect(page.locator('.cm-lintRange-error').first()).toBeVisible();
  await page.keyboard.press('Control+Enter');
  await expect(page.getByRole('alert').first()).toContainText('parse error');
});

test('the needle is marked in every line', async ({ page }) => {
  await open(page, at('logs', { q: `${shop} |= "checkout"`, from: 'now-1h' }));
  await expect(rows(page).first()).toBeVisible();
  await expect(rows(page).first().locator('mark')).toHaveText('checkout');
});

test('a line is expanded to its fields, and filtered by one, in and out', async ({ page }) => {
  await open(page, at('logs', { q: shop, from: 'now-1h' }));
  await rows(page).first().getByRole('button').first().click();
  const line = page.getByRole('region', { name: 'Fields in the line (JSON)' });
  await expect(line).toContainText('status');
  await line.getByRole('button', { name: /^Only lines with status/ }).click();
  await expect(editor(page)).toHaveText(/\{service_name="shop"\} \| json \| status="\d+"/);
  await expect(rows(page).first()).toBeVisible();
  await rows(page).first().getByRole('button').first().click();
  const labels = page.getByRole('region', { name: 'Labels of the stream' });
  await labels.getByRole('button', { name: /^No lines with pod/ }).click();
  await expect(editor(page)).toHaveText(/pod!="pod-\d"/);
  await expect(rows(page).first()).toBeVisible();
});

test('JSON is shown over several lines, with the lines before and after', async ({ page }) => {
  await open(page, at('logs', { q: `${shop} |= "order 500 "`, from: 'now-1h' }));
  await expect(rows(page)).toHaveCount(1);
  await rows(page).first().getByRole('button').first().click();
  await expect(page.locator('.log-json .json-key').first()).toHaveText(/"/);
  await page.getByRole('button', { name: 'Lines before and after' }).click();
  const around = page.getByRole('list', { name: 'Lines before and after' });
  await expect(around.getByRole('listitem')).toHaveCount(21);
  await expect(around.locator('[aria-current=true]')).toContainText('order 500 ');
});

test('an id leads to all lines that have it', async ({ page }) => {
  await open(page, at('logs', { q: `${shop} |= "order 500 "`, from: 'now-1h' }));
  await rows(page).first().getByRole('button').first().click();
  await page.getByTitle('All lines with this id').first().click();
  await expect(editor(page)).toHaveText(/\{service_name=~"\.\+"\} \|= "[0-9a-f]{32}"/);
  // One of the shop and one of the payment behind it.
  await expect(rows(page)).toHaveCount(2);
});

test('the oldest come first where one wants that', async ({ page }) => {
  await open(page, at('logs', { q: `${shop} |= "order"`, from: 'now-1h' }));
  await expect(rows(page).first()).toBeVisible();
  await page.getByRole('button', { name: 'Newest first' }).click();
  await expect(rows(page).first()).toContainText('order 0 ');
  await expect(page).toHaveURL(/dir=forward/);
});

test('dragging over the volume zooms', async ({ page }) => {
  await open(page, at('logs', { q: shop, from: 'now-1h' }));
  const over = page.locator('.volume .u-over');
  await expect(over).toBeVisible();
  await page.waitForTimeout(300);
  const box = await over.boundingBox();
  if (!box) throw new Error('no volume');
  await page.mouse.move(box.x + box.width * 0.5, box.y + 20);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, box.y + 20, { steps: 4 });
  await page.mouse.up();
  await expect(page).toHaveURL(/from=20/);
});

test('counted lines are a graph', async ({ page }) => {
  await open(
    page,
    at('logs', { q: `sum by (pod) (count_over_time(${shop}[1m]))`, from: 'now-1h' }),
  );
  await expect(page.getByRole('img', { name: /series from logs/ })).toBeVisible();
  await expect(page.getByRole('group', { name: 'Legend' })).toContainText('pod="pod-1"');
});

test('a line that is pushed appears live', async ({ page }) => {
  await open(page, at('logs', { q: '{service_name="live"}', live: '1' }));
  await expect(page.getByText('Live', { exact: true }).last()).toBeVisible();
  await expect(
    page.getByRole('region', { name: 'Live lines' }).getByRole('status').first(),
  ).toHaveText('Live');
  await pushLines(server(), { service_name: 'live' }, [[Date.now(), 'this one has just come']]);
  await expect(rows(page).first()).toContainText('this one has just come');
  await page.getByRole('button', { name: 'Pause' }).click();
  await pushLines(server(), { service_name: 'live' }, [[Date.now(), 'this one waits']]);
  await page.waitForTimeout(1000);
  await expect(list(page)).not.toContainText('this one waits');
  await page.getByRole('button', { name: 'Go on' }).click();
  await expect(list(page)).toContainText('this one waits');
});

test('an exemplar leads to the log lines of its trace', async ({ page }) => {
  await open(page, at('query', { q: 'rate(orders_total[5m])', from: 'now-40m' }));
  await page
    .getByRole('button', { name: /^Exemplar/ })
    .nth(3)
    .click();
  await page.getByRole('link', { name: 'Show its log lines' }).click();
  await expect(page.locator('main h1')).toHaveText('Logs');
  await expect(editor(page)).toHaveText(/\|= "[0-9a-f]{32}"$/);
  await expect(rows(page).first()).toBeVisible();
});

test('a metric and logs share one time axis', async ({ page }) => {
  await open(page, 'explore');
  const editors = page.locator('.editor .cm-content');
  await editors.first().click();
  await page.keyboard.insertText('sum by (shop) (rate(orders_total[5m]))');
  await editors.nth(1).click();
  await page.keyboard.insertText(shop);
  await page.keyboard.press('Control+Enter');
  await expect(rows(page).first()).toBeVisible();
  const graphs = page.locator('.u-over');
  await expect(graphs).toHaveCount(2);
  await page.waitForTimeout(300);
  const [above, below] = [await graphs.first().boundingBox(), await graphs.nth(1).boundingBox()];
  expect(Math.abs((above?.x ?? 0) - (below?.x ?? 99))).toBeLessThan(24);
  await graphs.first().click({ position: { x: (above?.width ?? 2) / 2, y: 40 } });
  await expect(page.getByRole('button', { name: /^Lines before/ })).toBeVisible();
  await expect(rows(page).first()).toBeVisible();
});

test('10,000 lines are scrolled through fluidly', async ({ page }) => {
  test.setTimeout(120_000);
  const from = new Date(seedFrom()).toISOString();
  await open(page, at('logs', { q: '{service_name="many"}', from, dir: 'forward', wrap: '0' }));
  await expect(rows(page).first()).toBeVisible();
  const box = await list(page).boundingBox();
  if (!box) throw new Error('no list');
  await page.mouse.move(box.x + 200, box.y + 100);
  const times = await frames(page, async () => {
    for (let i = 0; i < 400; i += 1) {
      await page.mouse.wheel(0, 600);
      if (await page.getByText(/^10.000 lines$/).isVisible()) break;
    }
  });
  report('scrolling through 10,000 lines', times);
  await expect(page.getByText(/^10.000 lines$/)).toBeVisible();
  await expect.poll(() => rows(page).count()).toBeLessThan(120);
  expect(quantile(times, 0.5)).toBeLessThan(100);
});

test('the history keeps queries of logs apart', async ({ page }) => {
  await open(page, 'logs');
  await runQuery(page, `${shop} |= "history"`);
  await open(page, 'query');
  await page.getByRole('button', { name: 'History' }).click();
  await expect(page.getByText('No query here yet.')).toBeVisible();
  await page.keyboard.press('Escape');
  await open(page, 'logs');
  await page.getByRole('button', { name: 'History' }).click();
  await page
    .getByRole('button', { name: /history/ })
    .last()
    .click();
  await expect(editor(page)).toHaveText(`${shop} |= "history"`);
});
