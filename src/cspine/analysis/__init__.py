"""What a method gets wrong: which figures, at which level, in which studies (docs/errors.md)."""
