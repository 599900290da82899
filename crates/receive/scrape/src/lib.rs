//! Scrape loops: targets in, samples out.
