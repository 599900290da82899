/** Vite plugin: writes a .br and a .gz neighbour for every built text file, so that the server never compresses at run time. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import type { Plugin } from 'vite';

const TEXT = /\.(js|css|svg|html|txt|json)$/;
/** Below this a compressed copy saves less than one network packet. */
const SMALLEST = 1024;

export function compressed(): Plugin {
  let outDir = 'dist';
  return {
    name: 'novaobs-compressed',
    apply: 'build',
    enforce: 'post',
    configResolved(config) {
      outDir = config.build.outDir;
    },
    writeBundle() {
      for (const name of readdirSync(outDir, { recursive: true, encoding: 'utf8' })) {
        // The server rewrites index.html for each request, so a compressed copy of it could not be served.
        if (!TEXT.test(name) || name === 'index.html') continue;
        const path = join(outDir, name);
        const raw = readFileSync(path);
        if (raw.length < SMALLEST) continue;
        const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: raw.length };
        writeFileSync(`${path}.br`, brotliCompressSync(raw, { params }));
        writeFileSync(`${path}.gz`, gzipSync(raw, { level: 9 }));
      }
    },
  };
}
