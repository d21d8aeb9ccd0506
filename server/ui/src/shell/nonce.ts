// What style sheets that are made by programs must carry: see `api/pages.rs`.

export const nonce: string =
  document.querySelector<HTMLElement>('meta[property=csp-nonce]')?.nonce ?? '';
