"""Shipping: what is paid is sent."""
