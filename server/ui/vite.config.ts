import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

// Where the server is that `npm run dev` asks.
const server = process.env.KYMO ?? 'http://127.0.0.1:9090';

export default defineConfig({
  // Relative, so that the page works behind any prefix.
  base: './',
  plugins: [react()],
  resolve: {
    alias: { 'lru-cache': new URL('./src/editor/lru.ts', import.meta.url).pathname },
    // Two copies of these refuse to work with each other.
    dedupe: [
      '@codemirror/state',
      '@codemirror/view',
      '@codemirror/language',
      '@codemirror/autocomplete',
      '@codemirror/lint',
      '@lezer/common',
      '@lezer/highlight',
      '@lezer/lr',
      '@prometheus-io/lezer-promql',
      'react',
      'react-dom',
    ],
  },
  // The server writes a new one into each answer.
  html: { cspNonce: '__KYMO_NONCE__' },
  build: {
    target: 'es2022',
    // Inlined files would need a wider policy.
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
  server: {
    proxy: {
      '/api': server,
      '/metrics': server,
      '/prometheus': server,
      '/-/': server,
      '/loki': { target: server, ws: true },
    },
  },
  test: {
    include: ['src/**/*.test.ts'],
    environment: 'node',
  },
});
