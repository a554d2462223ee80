"""Sensors that measure, and a monitor that notices what is unusual."""
