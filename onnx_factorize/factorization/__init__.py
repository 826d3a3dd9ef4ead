"""From statistics to factors: whitened spectra, losses of cuts, their forms, the refit."""
