"""How accuracy falls under random noise (mickisch2020)."""
