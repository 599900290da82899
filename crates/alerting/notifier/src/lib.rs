//! Alerts to external Alertmanagers.
