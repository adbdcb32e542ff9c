"""Studies: each measures one thing of a network, and has what belongs to it in one folder."""
