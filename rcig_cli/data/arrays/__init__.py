"""Arrays of images and labels: which belong together, and what their values mean."""
