"""Programs that are copied into kits: they run on devices, and use nothing of this package."""
