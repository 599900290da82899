//! The alert: routing, grouping, inhibition, silences, notification log.
