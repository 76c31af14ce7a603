"""Families of models; the published systems are config blocks of these."""
