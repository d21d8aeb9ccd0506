// What surrounds every view: navigation, settings, notices, help.

import {
  HamburgerMenuIcon,
  MoonIcon,
  QuestionMarkCircledIcon,
  SunIcon,
} from '@radix-ui/react-icons';
import { useQuery } from '@tanstack/react-query';
import { Dialog } from 'radix-ui';
import { type ReactNode, Suspense, useEffect, useRef, useState } from 'react';
import { call, message } from '../api/http';
import type { Notice } from '../api/prometheus';
import { Failed, Loading } from '../kit/states';
import { go, NavLink, usePath } from '../url/router';
import { Help } from './help';
import { useKeys } from './keys';
import { useSettings } from './settings';
import { groups, views } from './views';

export function Layout({ children }: { children: ReactNode }) {
  const path = usePath();
  const [help, setHelp] = useState(false);
  const [menu, setMenu] = useState(false);
  const main = useRef<HTMLElement>(null);
  const going = useRef(0);
  const view = views.find((one) => one.path === path);

  useEffect(() => {
    document.title = view ? `${view.title} · Kymo` : 'Kymo';
  }, [view]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: going elsewhere closes the menu
  useEffect(() => setMenu(false), [path]);

  useKeys('Everywhere', [
    { key: '?', does: 'Show this help', run: () => setHelp(true) },
    {
      key: 'g',
      does: 'then a letter: go to a view',
      run: () => {
        going.current = Date.now();
      },
    },
  ]);
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (Date.now() - going.current > 1500 || event.key === 'g') return;
      going.current = 0;
      const to = views.find((one) => one.key === event.key);
      if (!to || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      event.stopPropagation();
      go(to.path);
    };
    window.addEventListener('keydown', pressed, true);
    return () => window.removeEventListener('keydown', pressed, true);
  }, []);

  return (
    <div className="shell">
      <button type="button" className="skip" onClick={() => main.current?.focus()}>
        Skip to content
      </button>
      <header className="topbar">
        <Dialog.Root open={menu} onOpenChange={setMenu}>
          <Dialog.Trigger className="icon-button" aria-label="Open the menu">
            <HamburgerMenuIcon />
          </Dialog.Trigger>
          <Dialog.Portal>
            <Dialog.Overlay className="overlay" />
            <Dialog.Content className="drawer" aria-describedby={undefined}>
              <Dialog.Title className="visually-hidden">Menu</Dialog.Title>
              <Navigation onHelp={() => setHelp(true)} />
            </Dialog.Content>
          </Dialog.Portal>
        </Dialog.Root>
        <Brand />
        <span className="topbar-title">{view?.title}</span>
      </header>
      <aside className="sidebar">
        <Navigation onHelp={() => setHelp(true)} />
      </aside>
      <main id="main" ref={main} tabIndex={-1}>
        <Notices />
        <Suspense fallback={<Loading what="view" />}>{children}</Suspense>
      </main>
      <Help open={help} onOpenChange={setHelp} />
    </div>
  );
}

function Brand() {
  return (
    <NavLink to="/overview" className="brand" aria-label="Kymo, overview">
      <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
        <rect width="32" height="32" rx="7" className="brand-back" />
        <path
          d="M4 18c3 0 3-8 6.5-8s3.5 13 7 13 3.5-9 6.5-9 2.5 4 4 4"
          fill="none"
          className="brand-wave"
        />
      </svg>
      Kymo
    </NavLink>
  );
}

function Navigation({ onHelp }: { onHelp: () => void }) {
  const { theme, setTheme, dark, zone, setZone } = useSettings();
  return (
    <>
      <div className="nav-head">
        <Brand />
      </div>
      <nav aria-label="Views">
        {groups.map((group) => (
          <section key={group.title}>
            <h2 className="nav-group">{group.title}</h2>
            <ul>
              {group.views.map((view) => (
                <li key={view.path}>
                  <NavLink to={view.path} className="nav-link">
                    {view.title}
                  </NavLink>
                </li>
              ))}
            </ul>
          </section>
        ))}
      </nav>
      <div className="nav-foot">
        <label className="nav-setting">
          <span>Times in</span>
          <select
            value={zone}
            onChange={(e) => setZone(e.target.value === 'utc' ? 'utc' : 'local')}
          >
            <option value="local">local time</option>
            <option value="utc">UTC</option>
          </select>
        </label>
        <label className="nav-setting">
          <span className="with-icon">{dark ? <MoonIcon /> : <SunIcon />} Theme</span>
          <select
            value={theme}
            onChange={(e) => setTheme(e.target.value as 'system' | 'light' | 'dark')}
          >
            <option value="system">as the system</option>
            <option value="light">light</option>
            <option value="dark">dark</option>
          </select>
        </label>
        <button type="button" className="quiet with-icon" onClick={onHelp}>
          <QuestionMarkCircledIcon /> Keys and help <kbd>?</kbd>
        </button>
      </div>
    </>
  );
}

/** What the server wants told: that it starts, that a reload failed. */
function Notices() {
  const { data, error, refetch } = useQuery({
    queryKey: ['notices'],
    queryFn: ({ signal }) => call<Notice[]>('api/v1/notifications', {}, { signal }),
    refetchInterval: 15_000,
  });
  if (error) return <Failed what={message(error)} onRetry={() => void refetch()} />;
  const active = data?.data.filter((notice) => notice.active) ?? [];
  return active.map((notice) => (
    <p className="note warn" role="status" key={notice.text}>
      {notice.text}
    </p>
  ));
}
