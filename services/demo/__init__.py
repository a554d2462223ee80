"""The demo: all services as processes on a server of their own, watched, disturbed and audited."""
