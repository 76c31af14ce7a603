"""Every system in one table: what each is worth on the same studies, and what it took."""
