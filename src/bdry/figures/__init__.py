"""How figures are drawn: style, panels of curves, captions, and the forms in which they are declared. No torch here."""
