/** Vite plugin: emits THIRD_PARTY_NOTICES.txt with name, version and licence text of every npm package that ended up in a chunk. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Plugin } from 'vite';

interface PackageJson {
  name?: string;
  version?: string;
  license?: string;
}

/** The folder of the package a module id lies in: the nearest package.json that carries a name and a version. */
function packageFolder(id: string): string | undefined {
  const clean = id.replace(/^\0/, '').replace(/\?.*$/, '');
  if (!clean.includes('/node_modules/')) return undefined;
  for (let dir = dirname(clean); dir.includes('/node_modules/'); dir = dirname(dir)) {
    const file = join(dir, 'package.json');
    if (!existsSync(file)) continue;
    const parsed = JSON.parse(readFileSync(file, 'utf8')) as PackageJson;
    if (parsed.name && parsed.version) return dir;
  }
  return undefined;
}

function notice(dir: string): string {
  const pkg = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8')) as PackageJson;
  const texts = readdirSync(dir)
    .filter((file) => /^(licen[sc]e|notice|copying)/i.test(file))
    .map((file) => readFileSync(join(dir, file), 'utf8').trim());
  return [`${pkg.name} ${pkg.version} (${pkg.license ?? 'licence in the text below'})`, ...texts].join('\n\n');
}

export function thirdPartyNotices(): Plugin {
  return {
    name: 'novaobs-notices',
    apply: 'build',
    generateBundle(_options, bundle) {
      const folders = new Set<string>();
      for (const chunk of Object.values(bundle)) {
        if (chunk.type !== 'chunk') continue;
        for (const id of chunk.moduleIds) {
          const dir = packageFolder(id);
          if (dir) folders.add(dir);
        }
      }
      const source = [...folders].map(notice).sort().join(`\n\n${'-'.repeat(80)}\n\n`);
      this.emitFile({ type: 'asset', fileName: 'THIRD_PARTY_NOTICES.txt', source });
    },
  };
}
