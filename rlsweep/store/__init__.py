"""What lies on disk: names, row keys, manifests. Needs neither ray nor torch, so analysis reads it too."""
