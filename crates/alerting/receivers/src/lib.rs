//! Where notifications go: webhook, Slack, PagerDuty.
