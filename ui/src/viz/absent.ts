/** Stands in for heavy packages that @grafana/ui can reach but that no page of ours renders (see vite.config.ts). */
export const renderToStaticMarkup = (): string => '';
export const loader = { config: () => undefined, init: () => undefined };
export default undefined;
