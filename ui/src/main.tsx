import('./spike')
