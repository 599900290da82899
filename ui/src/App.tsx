/** The shell: product name, navigation, theme switch, and the page that the path names. */
import { Component, lazy, Suspense, useEffect, type ReactNode } from 'react';
import { config } from './api/config';
import { Empty, Link, Loading, Notice } from './panels/parts';
import { navigate, useLocation } from './state/router';
import { setTheme, useSettings, type ThemeChoice } from './state/settings';
import { Icon, Logo, type IconName } from './viz/icons';

const ExplorePage = lazy(() => import('./pages/ExplorePage'));
const TargetsPage = lazy(() => import('./pages/TargetsPage'));
const AlertsPage = lazy(() => import('./pages/AlertsPage'));
const RulesPage = lazy(() => import('./pages/RulesPage'));

/** Paths of Explore: our own, and the two that Prometheus has used. */
const EXPLORE_PATHS = ['explore', 'graph', 'query'];
const ENTRIES: { page: string; text: string; icon: IconName }[] = [
  { page: 'explore', text: 'Explore', icon: 'explore' },
  { page: 'targets', text: 'Targets', icon: 'targets' },
  { page: 'alerts', text: 'Alerts', icon: 'alerts' },
  { page: 'rules', text: 'Rules', icon: 'rules' },
];
const THEMES: Record<ThemeChoice, { next: ThemeChoice; icon: IconName; text: string }> = {
  system: { next: 'light', icon: 'system', text: 'System' },
  light: { next: 'dark', icon: 'sun', text: 'Light' },
  dark: { next: 'system', icon: 'moon', text: 'Dark' },
};

function pageFor(page: string, search: string): ReactNode {
  if (EXPLORE_PATHS.includes(page)) return <ExplorePage page={page} search={search} />;
  if (page === 'targets') return <TargetsPage />;
  if (page === 'alerts') return <AlertsPage search={search} />;
  if (page === 'rules') return <RulesPage />;
  return (
    <Empty title="There is no page here">
      Go to <Link to="explore">Explore</Link>.
    </Empty>
  );
}

export function App(): ReactNode {
  const { page, search } = useLocation();
  const { choice } = useSettings();
  const current = EXPLORE_PATHS.includes(page) ? 'explore' : page;
  const title = ENTRIES.find((entry) => entry.page === current)?.text;

  useEffect(() => {
    if (page === '') navigate('explore', 'replace');
  }, [page]);
  useEffect(() => {
    document.title = title ? `${title} · novaobs` : 'novaobs';
  }, [title]);

  return (
    <div className="shell">
      <a className="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById('main')?.focus(); }}>
        Skip to the content
      </a>
      <nav className="nav" aria-label="Pages">
        <Link to="explore" className="brand" aria-label="novaobs">
          <Logo />
          <span>novaobs</span>
        </Link>
        <ul>
          {ENTRIES.map((entry) => (
            <li key={entry.page}>
              <Link to={entry.page} aria-current={entry.page === current ? 'page' : undefined}>
                <Icon name={entry.icon} size={20} />
                <span>{entry.text}</span>
              </Link>
            </li>
          ))}
        </ul>
        <div className="nav-foot">
          <button type="button" className="theme" title={`Theme: ${THEMES[choice].text.toLowerCase()}. Click to change.`} aria-label={`Theme: ${THEMES[choice].text.toLowerCase()}. Change.`} onClick={() => setTheme(THEMES[choice].next)}>
            <Icon name={THEMES[choice].icon} size={20} />
            <span>{THEMES[choice].text}</span>
          </button>
          {config.version && <span className="version">{config.version}</span>}
        </div>
      </nav>
      <main id="main" tabIndex={-1}>
        <Guard key={current}>
          <Suspense fallback={<Loading lines={8} />}>{page === '' ? null : pageFor(page, search)}</Suspense>
        </Guard>
      </main>
    </div>
  );
}

/** Keeps the navigation alive when a page fails, for example because its chunk belongs to an older version of the server. */
class Guard extends Component<{ children: ReactNode }, { error: Error | undefined }> {
  override state: { error: Error | undefined } = { error: undefined };

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  override render(): ReactNode {
    if (!this.state.error) return this.props.children;
    return (
      <Notice tone="bad" title="This page failed.">
        {this.state.error.message}{' '}
        <button type="button" className="textual" onClick={() => window.location.reload()}>
          Load it again
        </button>
      </Notice>
    );
  }
}
