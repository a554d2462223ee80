"""Payments: a card is charged for every order."""
