"""Paths inside classification regions."""
