"""Notifications: people are told what concerns them."""
