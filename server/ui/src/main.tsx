import { setNonce } from 'get-nonce';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { root } from './api/http';
import { App } from './app';
import { nonce } from './shell/nonce';
import './style.css';

// Kept, since the document's own address changes from view to view.
document.querySelector('base')?.setAttribute('href', root.href);
setNonce(nonce);

const element = document.getElementById('root');
if (element) {
  createRoot(element).render(
    <StrictMode>
      <App />
    </StrictMode>,
  );
}
