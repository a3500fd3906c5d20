"""A weekly run without a cluster: systemd and cron."""
