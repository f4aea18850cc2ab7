"""Error against labelled samples: falling curves and fitted laws, labels needed, where another arm becomes the best."""
