"""Orders, from their creation to their end."""
