"""One file a command: unpacks the typed config into plain arguments and calls the floors below."""
