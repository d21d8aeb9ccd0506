// What flows do again and again.

import { test as base, expect, type Page } from '@playwright/test';

export { expect, type Page };

/** A flow that fails where the page asks somebody else, breaks its policy, or throws. */
export const test = base.extend<{ watched: undefined }>({
  watched: [
    async ({ context }, use) => {
      const wrong: string[] = [];
      context.on('request', (request) => {
        const url = new URL(request.url());
        const local = url.hostname === '127.0.0.1' || /^(data|blob):$/.test(url.protocol);
        if (!local) wrong.push(`asked ${request.url()}`);
      });
      context.on('console', (message) => {
        if (/Content Security Policy/.test(message.text())) wrong.push(message.text());
      });
      context.on('weberror', (error) => wrong.push(String(error.error())));
      await use(undefined);
      expect(wrong).toEqual([]);
    },
    { auto: true },
  ],
});

/** The server that flows share. */
export const server = () => process.env.KYMO_URL ?? '';

/** Opens a view of the shared server; nothing that it loads may be from elsewhere. */
export async function open(page: Page, path: string, url = server()) {
  await page.goto(new URL(path, url).href);
  await expect(page.locator('main h1')).toBeVisible();
}

/** The path of a view with what is asked of it. */
export function at(path: string, params: Record<string, string | string[]>): string {
  const written = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    for (const one of Array.isArray(value) ? value : [value]) written.append(name, one);
  }
  return `${path}?${written}`;
}

export const editor = (page: Page) => page.locator('.editor .cm-content').first();

export const legend = (page: Page) => page.getByRole('group', { name: 'Legend' });

/** Replaces the query and runs it by a key. */
export async function runQuery(page: Page, query: string) {
  await editor(page).click();
  await page.keyboard.press('Control+a');
  await page.keyboard.insertText(query);
  await page.keyboard.press('Control+Enter');
}
