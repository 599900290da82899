import { chartTheme, UPlotChart, UPlotConfigBuilder, TooltipPlugin2, ThemeContext, getValueFormat } from './viz/gf';
console.log(chartTheme, UPlotChart, UPlotConfigBuilder, TooltipPlugin2, ThemeContext, getValueFormat);
