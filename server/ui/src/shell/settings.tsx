// What a reader has chosen: theme and time zone. It stays in this browser.

import {
  createContext,
  type ReactNode,
  use,
  useCallback,
  useEffect,
  useMemo,
  useState,
} from 'react';
import type { Zone } from '../time/format';

export type Theme = 'system' | 'light' | 'dark';

interface Settings {
  theme: Theme;
  setTheme: (theme: Theme) => void;
  /** Whether what is shown is dark. */
  dark: boolean;
  zone: Zone;
  setZone: (zone: Zone) => void;
}

const Context = createContext<Settings | undefined>(undefined);

function kept<T extends string>(key: string, allowed: readonly T[], fallback: T): T {
  try {
    const value = localStorage.getItem(key);
    return allowed.find((one) => one === value) ?? fallback;
  } catch {
    return fallback;
  }
}

function keep(key: string, value: string) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Then it holds until the page is left.
  }
}

export function SettingsProvider({ children }: { children: ReactNode }) {
  const [theme, chooseTheme] = useState<Theme>(() =>
    kept('kymo.theme', ['system', 'light', 'dark'], 'system'),
  );
  const [zone, chooseZone] = useState<Zone>(() => kept('kymo.zone', ['local', 'utc'], 'local'));
  const [systemDark, setSystemDark] = useState(
    () => matchMedia('(prefers-color-scheme: dark)').matches,
  );
  useEffect(() => {
    const media = matchMedia('(prefers-color-scheme: dark)');
    const changed = () => setSystemDark(media.matches);
    media.addEventListener('change', changed);
    return () => media.removeEventListener('change', changed);
  }, []);
  const dark = theme === 'dark' || (theme === 'system' && systemDark);
  useEffect(() => {
    document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  }, [dark]);
  const setTheme = useCallback((theme: Theme) => {
    keep('kymo.theme', theme);
    chooseTheme(theme);
  }, []);
  const setZone = useCallback((zone: Zone) => {
    keep('kymo.zone', zone);
    chooseZone(zone);
  }, []);
  const settings = useMemo(
    () => ({ theme, setTheme, dark, zone, setZone }),
    [theme, setTheme, dark, zone, setZone],
  );
  return <Context value={settings}>{children}</Context>;
}

export function useSettings(): Settings {
  const settings = use(Context);
  if (!settings) throw new Error('settings are read outside their provider');
  return settings;
}
