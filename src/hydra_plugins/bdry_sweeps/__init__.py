"""bdry's plug-ins of Hydra: how sweeps are run. Hydra looks for them here; what they need is imported when used."""
